"""Which item-item weights are put beside the vectors, and how much they count."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.core.errors import DivergedError
from cascade.core.features import Feature
from cascade.models import metrics
from cascade.models.retriever.full_ranks import full_ranks
from cascade.models.retriever.mixtures import TOP, Requests, best_mixture
from cascade.models.retriever.neighbour_choice import (
    DECAYS,
    OF_SEQUENCES,
    OF_SETS,
    ChosenNeighbours,
    ItemWeights,
    add_popularity,
    choose,
    with_pushes,
    without_validation,
)
from cascade.models.retriever.neighbours import Neighbours
from cascade.models.retriever.stage import put_beside
from cascade.models.training.rows import Events
from cascade.workflows.history.history import Histories, Positives

FIRST = 3
"""The first code of an item; 0 is padding."""
USERS, ITEMS = 300, 40


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def shop():
    """Users have items in pairs (0 and 1, 2 and 3, ...); of each user's last pair one is in training, one held out."""
    rng = np.random.default_rng(0)
    pairs = np.array([rng.choice(ITEMS // 2, 5, replace=False) for _ in range(USERS)])
    known = np.zeros((USERS, ITEMS), np.float32)
    users = np.arange(USERS)
    for pair in pairs.T:
        known[users, 2 * pair] = known[users, 2 * pair + 1] = 1
    held = 2 * pairs[:, 0] + 1
    known[users, held] = 0
    first = np.concatenate([[0], np.cumsum(known.sum(axis=1) + 1)]).astype(np.int64)
    row, item = (part.astype(np.int32) for part in np.nonzero(known))
    ends = first[row] + np.arange(len(row)) - np.searchsorted(row, row)
    stored = np.empty(first[-1], np.int32)
    stored[ends], stored[first[1:] - 1] = item + FIRST, held + FIRST
    positives = Positives(first, stored)

    def part(user_row, item_row, ends):
        ones = np.ones(len(user_row), np.float32)
        return SimpleNamespace(
            user_row=user_row, item_row=item_row, positive=ones > 0, label=ones, labels={}, context={},
            history=Histories(positives, user_row, ends, 10), history_gap=None,
        )  # fmt: skip

    parts = {
        "train": part(row, item, ends),
        "valid": part(users.astype(np.int32), held.astype(np.int32), first[1:] - 1),
    }

    def tensors(ordered):
        feature = Feature("history", "user", "categorical", ITEMS + FIRST, 10, "item_id", ordered=ordered)
        return SimpleNamespace(
            items={"item_id": (np.arange(ITEMS) + FIRST)[:, None]}, item_ids=np.arange(ITEMS),
            user_ids=users, schema={"history": feature}, interactions=parts.__getitem__,
        )  # fmt: skip

    events = Events.positives(parts["valid"])
    return SimpleNamespace(
        tensors=tensors, events=events, requests=Requests.of(events, ITEMS), seen=csr_matrix(known > 0), known=known,
        held=held,
    )  # fmt: skip


def random_vectors(seed=0):
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(USERS, 6))), unit(rng.normal(size=(ITEMS, 6)))


@pytest.mark.parametrize("ordered", [True, False])
def test_vectors_that_know_nothing_get_neighbours(shop, ordered):
    queries, vectors = random_vectors()
    found, facts = choose(queries, vectors, shop.tensors(ordered), shop.requests, shop.seen, 5)
    assert facts["neighbours"] in (OF_SEQUENCES if ordered else OF_SETS) and facts["neighbours_ratio"] > 1
    assert facts["neighbours_decay"] in (DECAYS if ordered else (1.0,))
    ranks = full_ranks(queries, vectors, shop.events, shop.seen, neighbours=found.train)
    assert metrics.target_ndcg(ranks, TOP).mean() == pytest.approx(facts["valid_ndcg_with_neighbours"])
    assert np.diff(found.train.weights.indptr).max() <= 5


def test_served_weights_know_the_validation_part(shop):
    """The held-out items are those of pairs, so what is served has more of the weight of pairs."""
    queries, vectors = random_vectors()
    found, _ = choose(queries, vectors, shop.tensors(False), shop.requests, shop.seen, 5)
    pairs = np.arange(0, ITEMS, 2) + FIRST, np.arange(1, ITEMS, 2)
    train, served = (np.asarray(part.weights[pairs]).sum() for part in (found.train, found.served))
    assert served > train


def test_vectors_that_know_all_stay_alone(shop):
    queries, vectors = np.eye(ITEMS, dtype=np.float32)[shop.held], np.eye(ITEMS, dtype=np.float32)
    found, facts = choose(queries, vectors, shop.tensors(False), shop.requests, shop.seen, 5)
    assert (found, facts) == (None, {"neighbours": "none"})


def test_noise_is_refused(shop):
    """Noise beside noise is better half of the time, but seldom by a standard error of its gain."""
    rng = np.random.default_rng(1)

    def scores():
        values = rng.normal(size=(USERS, ITEMS)).astype(np.float32)
        return lambda part: values[part].copy()

    found = [best_mixture(scores(), [scores()], [0.1], shop.requests, shop.seen, "noise")[1] for _ in range(20)]
    assert sum(one is not None for one in found) <= 8  # 3 are expected


def test_without_a_validation_part_sets_get_neighbours_and_sequences_none(shop):
    queries, vectors = random_vectors()
    events = Events.positives(shop.tensors(False).interactions("train")).take(np.arange(USERS))
    found, facts = without_validation(queries, vectors, shop.tensors(False), events, 5)
    assert facts["neighbours"] == "ease" and found.train is found.served
    assert without_validation(queries, vectors, shop.tensors(True), events, 5) == (None, {"neighbours": "none"})


def test_weights_are_of_item_rows_and_items_of_one_code_share_them(shop):
    tensors = shop.tensors(False)
    codes = np.arange(ITEMS) + FIRST
    codes[7] = codes[5]
    codes[9] = FIRST - 1  # out of vocabulary
    tensors.items = {"item_id": codes[:, None]}
    weights = ItemWeights(tensors, ITEMS, ("train",)).ease.toarray()
    assert weights.shape == (ITEMS + FIRST, ITEMS)
    np.testing.assert_array_equal(weights[:, 7], weights[:, 5])
    assert not weights[:, 9].any() and not weights[:FIRST].any() and weights[codes[2], 3] > 0


def test_nan_vectors_are_an_error(shop):
    queries, vectors = random_vectors()
    with pytest.raises(DivergedError, match="two_tower with neighbours"):
        choose(queries * np.nan, vectors, shop.tensors(False), shop.requests, shop.seen, 5)


def test_followers_are_counted_in_the_order_of_all_positives(shop):
    """Users have their items by number, the held-out one last; a pair at distance d counts 1 / d."""
    found = ItemWeights(shop.tensors(True), ITEMS, ("train", "valid")).followers.toarray()
    counts = np.zeros((ITEMS, ITEMS))
    for row, held in zip(shop.known, shop.held, strict=True):
        own = [*np.flatnonzero(row), held]
        for at, item in enumerate(own):
            for distance, other in enumerate(own[at + 1 : at + 6], start=1):
                counts[item, other] += 1 / distance
    np.testing.assert_allclose(found[FIRST:], counts / (counts.sum(axis=1, keepdims=True) + 10), rtol=1e-5)


def popular_shop(shop):
    """Everybody's held-out item is item 0, which half of the users have; the other items have few users each."""
    rng = np.random.default_rng(3)
    item = np.where(np.arange(2 * USERS) % 2, 0, rng.integers(1, ITEMS, 2 * USERS)).astype(np.int32)
    train = SimpleNamespace(item_row=item, positive=np.ones(2 * USERS, bool), timestamp=np.arange(2 * USERS))
    tensors = shop.tensors(False)
    tensors.interactions = {"train": train, "valid": train}.__getitem__
    asked = Requests(shop.events, csr_matrix(np.eye(ITEMS, dtype=bool)[np.zeros(USERS, int)]))
    return tensors, asked, csr_matrix((USERS, ITEMS), dtype=bool)


@pytest.mark.parametrize("beside", [False, True])
def test_popularity_counts_in_every_request_beside_what_was_chosen(shop, beside):
    tensors, asked, seen = popular_shop(shop)
    queries, vectors = random_vectors()
    chosen = choose(queries, vectors, shop.tensors(False), shop.requests, shop.seen, 5)[0] if beside else None
    found, facts = add_popularity(chosen, queries, vectors, tensors, asked, seen, 3)
    assert facts["popularity"] == 1 and facts["popularity_ratio"] >= 1
    nobody = np.zeros((1, 10), np.int32)
    for part in (found.train, found.served):
        score = part.scores(nobody).toarray()[0]
        assert score.argmax() == 0 and (score > 0).sum() <= 3
        own = np.where(np.arange(ITEMS + FIRST)[:, None] == 0, 0, part.weights.toarray())
        expected = chosen.train.weights.toarray() if chosen and part is found.train else own
        np.testing.assert_allclose(own, expected, rtol=1e-6)


def test_popularity_that_says_nothing_is_left_out(shop):
    queries, vectors = np.eye(ITEMS, dtype=np.float32)[shop.held], np.eye(ITEMS, dtype=np.float32)
    assert add_popularity(None, queries, vectors, shop.tensors(False), shop.requests, shop.seen, 5) == (
        None,
        {"popularity": 0},
    )


def test_events_of_one_user_with_the_same_history_are_one_request(shop):
    events = shop.events.take(np.array([3, 3, 4, 5]))
    past = events.moment["history"]
    events = Events(events.user_row, np.array([7, 9, 7, 7], np.int32), events.label, {"history": past})
    got = Requests.of(events, ITEMS)
    assert got.events.user_row.tolist() == [3, 4, 5]
    assert [row.indices.tolist() for row in got.relevant] == [[7, 9], [7], [7]]


def test_popularity_that_harms_lists_with_pushed_histories_gets_a_notice(shop):
    """The vectors know every held-out item; popularity that outweighs them ruins that, a little of it does not."""
    queries, vectors = np.eye(ITEMS, dtype=np.float32)[shop.held], np.eye(ITEMS, dtype=np.float32)
    every = np.zeros((ITEMS + FIRST, ITEMS), np.float32)
    every[0] = np.arange(ITEMS)
    for weight, harmful in ((1, True), (0.001, False)):
        chosen = ChosenNeighbours(*2 * [Neighbours(csr_matrix(weight * every))])
        facts = with_pushes(None, chosen, queries, vectors, shop.requests, shop.seen)
        assert facts["valid_ndcg_pushed_without_popularity"] == 1
        assert (facts["valid_ndcg_pushed"] < 0.9) == harmful == ("notices" in facts)
        if harmful:
            [notice] = facts["notices"]
            assert "of 1.0000 without. If your store receives pushes" in notice
            assert "set two_tower.valid_history: at_event" in notice


def test_each_part_beside_the_towers_says_that_it_begins(shop, tmp_path, monkeypatch, caplog):
    """After the last epoch there are minutes of work without one."""
    queries, vectors = random_vectors()
    (tmp_path / "checkpoint").mkdir()
    retriever = "cascade.models.retriever"
    monkeypatch.setattr(f"{retriever}.encode.encode_users", lambda *args: queries)
    monkeypatch.setattr(f"{retriever}.encode.encode_items", lambda *args: vectors)
    monkeypatch.setattr(f"{retriever}.linear_part.choose", lambda *args: (None, {"linear": "none"}))
    monkeypatch.setattr(f"{retriever}.neighbour_choice.add_popularity", lambda *args: (args[0], {"popularity": 0}))
    config = SimpleNamespace(linear=8, neighbours=5, popular=5)
    with caplog.at_level("INFO", "cascade"):
        facts = put_beside(tmp_path, None, None, shop.tensors(True), shop.events, shop.seen, config)
    kind = facts["neighbours"]
    assert [line.partition(": after the epochs: ")[2] for line in caplog.messages] == [
        "fitting a linear part beside the towers",
        "fitting item-item weights (neighbours)",
        f"fitting the item-item weights ({kind}) once more, with the validation part",
        "choosing how much popularity counts",
    ]
