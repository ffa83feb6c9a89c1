"""The linear part beside the towers: closed forms, the sum of both scores, and when it is chosen."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.core.features import Feature
from cascade.models._merlin import tf
from cascade.models.retriever.item_to_item import factorizations
from cascade.models.retriever.item_to_item.factorizations import ease, ials, main_axes, svd
from cascade.models.retriever.linear_part import (
    ItemBeside,
    LinearPart,
    QueryBeside,
    by_code,
    choose,
    without_validation,
)
from cascade.models.retriever.mixtures import Requests
from cascade.models.training.rows import Events

RNG = np.random.default_rng(0)
FIRST = 3
"""The first code of an item; 0 is padding."""


def blocks(users=60, items=20, groups=4, share=0.6, seed=1):
    """Users and items in groups: users have a random part of the items of their group, and nothing else."""
    rng = np.random.default_rng(seed)
    same = np.arange(users)[:, None] % groups == np.arange(items)[None] % groups
    found = same & (rng.random((users, items)) < share)
    return found[found.any(axis=1)].astype(np.float32)


def test_main_axes_are_those_of_the_whole_svd():
    matrix = RNG.normal(size=(40, 12)) * np.arange(12, 0, -1)
    axes = main_axes(lambda x: matrix @ x, lambda y: matrix.T @ y, 12, 4, np.random.default_rng(0))
    exact = np.linalg.svd(matrix)[2][:4].T
    np.testing.assert_allclose(np.abs(axes.T @ exact), np.eye(4), atol=1e-3)


def test_ease_of_full_width_is_ease():
    dense = blocks()
    found = ease(csr_matrix(dense), 20, np.random.default_rng(0))
    inverse = np.linalg.inv(dense.T @ dense + factorizations.EASE_REGULARIZATION * np.eye(20))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    np.testing.assert_allclose(dense @ found.history @ found.item.T, dense @ weights, atol=1e-3)


def test_svd_by_hand():
    dense = blocks()
    users, items = dense.sum(1), dense.sum(0)
    found = svd(csr_matrix(dense), 4, np.random.default_rng(0))
    axes = np.linalg.svd(dense / users[:, None] ** 0.5 / items**0.4)[2][:4].T
    expected = (dense / items**0.4) @ axes @ (axes * items[:, None] ** 0.4).T
    np.testing.assert_allclose(dense @ found.history @ found.item.T, expected, atol=1e-4)


@pytest.mark.parametrize("fit", [lambda m: svd(m, 4, RNG), lambda m: ials(m, 4, 0, 30.0), lambda m: ease(m, 4, RNG)])
def test_items_of_the_history_s_group_score_best(fit):
    dense = blocks(users=2000)
    found = fit(csr_matrix(dense))
    scores = found.history @ found.item.T
    same = np.arange(20)[:, None] % 4 == np.arange(20)[None] % 4
    assert (np.where(same, scores, np.inf).min(axis=1) > np.where(same, -np.inf, scores).max(axis=1)).all()


def part_of(codes=9, width=4, ratio=0.7):
    item = RNG.normal(size=(codes, width)).astype(np.float32)
    item /= np.linalg.norm(item, axis=1).max()
    item[:FIRST] = 0
    history = RNG.normal(size=(codes, width)).astype(np.float32)
    history[:FIRST] = 0
    return LinearPart(history, item, ratio)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_inner_products_are_sums_of_both_scores_and_vectors_have_length_1():
    part = part_of()
    queries, items = (unit(RNG.normal(size=(n, 5))).astype(np.float32) for n in (3, 6))
    history = np.array([[3, 5, 0], [8, 0, 0], [0, 0, 0]])
    codes = np.arange(FIRST, FIRST + 6)[:, None]
    query = QueryBeside(lambda columns, training: tf.constant(queries), part)({"history": tf.constant(history)})
    item = ItemBeside(lambda columns, training: tf.constant(items), part)({"item_id": tf.constant(codes)})
    assert query.shape == (3, 10)
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(item, axis=1), 1, atol=1e-6)
    own = np.stack([unit(part.history[3] + part.history[5]), unit(part.history[8]), np.zeros(4)])
    sums = queries @ items.T + part.ratio * own @ part.item[codes[:, 0]].T
    length = np.sqrt(1 + part.ratio**2 * np.array([1, 1, 0]))[:, None] * np.sqrt(2)
    np.testing.assert_allclose(query.numpy() @ item.numpy().T, sums / length, atol=1e-5)


def test_saved_and_loaded(tmp_path):
    assert LinearPart.load(tmp_path) is None
    part = part_of()
    part.save(tmp_path)
    again = LinearPart.load(tmp_path)
    np.testing.assert_array_equal(again.history, part.history)
    np.testing.assert_array_equal(again.item, part.item)
    assert again.ratio == part.ratio


def case(towers, ordered=True, validation=True):
    """Users of `blocks`, one item each held out; ``towers`` gives query and item vectors from users and items."""
    dense = blocks(users=400, items=40, groups=8, share=0.9)
    count, users = len(dense), np.flatnonzero(dense.sum(1) >= 2)
    held = np.array([RNG.choice(np.flatnonzero(dense[user])) for user in users])
    known = dense.copy()
    known[users, held] = 0
    history = np.zeros((count, 5), np.int32)
    for user in range(count):
        own = np.flatnonzero(known[user])[:5] + FIRST
        history[user, : len(own)] = own
    row, item = (part.astype(np.int32) for part in np.nonzero(known))
    train = SimpleNamespace(
        user_row=row, item_row=item, positive=np.ones(len(row), bool), label=np.ones(len(row), np.float32),
        context={}, history=history[row], history_gap=None, labels={},
    )  # fmt: skip
    held_out = {"user_row": users.astype(np.int32), "item_row": held.astype(np.int32), "history": history[users]}
    later = SimpleNamespace(
        **{**vars(train), **held_out, "positive": np.ones(len(users), bool), "label": np.ones(len(users))}
    )
    tensors = SimpleNamespace(
        items={"item_id": (np.arange(40) + FIRST)[:, None]},
        item_ids=np.arange(40),
        user_ids=np.arange(count),
        schema={"history": Feature("history", "user", "categorical", 40 + FIRST, 5, "item_id", ordered=ordered)},
        interactions=lambda split: {"train": train, "valid": later}[split],
    )
    valid = Events(users.astype(np.int32), held.astype(np.int32), np.ones(len(users)), {"history": history[users]})
    queries, vectors = towers(dense)
    model = SimpleNamespace(query=lambda batch: tf.gather(queries, batch["user_row"]), candidate=lambda rows: vectors)
    lookup = SimpleNamespace(users=lambda batch: batch, items=lambda rows: rows)
    if not validation:
        return without_validation(model, lookup, tensors, 8)
    asked = Requests(valid, csr_matrix(np.eye(40, dtype=bool)[held]))
    return choose(model, lookup, tensors, asked, csr_matrix(known.astype(bool)), 8), tensors, known


def test_towers_that_know_nothing_get_a_linear_part(caplog):
    def towers(dense):
        return tuple(tf.constant(unit(RNG.normal(size=(n, 6))).astype(np.float32)) for n in dense.shape)

    with caplog.at_level("INFO", "cascade"):
        (chosen, facts), _, _ = case(towers)
    part = chosen.train
    assert [line for line in caplog.messages if f"the linear part ({facts['linear']}) once more" in line]
    assert facts["linear"] in ("svd", "ials_100", "ials_30", "ease")
    assert facts["valid_ndcg_with_linear"] > facts["valid_ndcg_without_linear"] + 0.2
    np.testing.assert_allclose(np.linalg.norm(part.item, axis=1).max(), 1, atol=1e-6)


def test_without_a_validation_part_sets_get_a_linear_part_and_sequences_none():
    def towers(dense):
        return tuple(tf.constant(unit(RNG.normal(size=(n, 6))).astype(np.float32)) for n in dense.shape)

    chosen, facts = case(towers, ordered=False, validation=False)
    part = chosen.train
    assert chosen.served is part
    assert (facts["linear"], part.history.shape) == ("ease", (43, 8))
    assert part.ratio > 0
    assert case(towers, ordered=True, validation=False) == (None, {"linear": "none"})


def test_towers_that_know_all_stay_alone():
    def towers(dense):
        return tf.constant(dense), tf.constant(np.eye(dense.shape[1], dtype=np.float32))

    (part, facts), _, _ = case(towers)
    assert part is None
    assert facts["linear"] == "none"


def test_the_matrix_has_a_column_for_each_code():
    _, tensors, known = case(lambda dense: (tf.constant(dense), tf.constant(np.eye(40, dtype=np.float32))))
    matrix = by_code(tensors)
    assert matrix.shape[1] == 43
    np.testing.assert_array_equal(np.asarray(matrix.todense())[:, FIRST:], known[known.sum(1) > 0])


def test_the_served_part_knows_the_validation_part_and_the_other_one_does_not():
    def towers(dense):
        return tuple(tf.constant(unit(RNG.normal(size=(n, 6))).astype(np.float32)) for n in dense.shape)

    (chosen, facts), tensors, _ = case(towers)
    for part, splits in ((chosen.train, ("train",)), (chosen.served, ("train", "valid"))):
        expected = factorizations.factorization(facts["linear"], by_code(tensors, splits), 8, 0)
        np.testing.assert_allclose(part.history, expected.history, atol=1e-5)
        np.testing.assert_allclose(part.item * np.linalg.norm(expected.item, axis=1).max(), expected.item, atol=1e-5)
    assert np.abs(chosen.train.item - chosen.served.item).max() > 0.01
