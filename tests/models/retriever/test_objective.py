"""The retriever's loss on a batch, for every loss and sampling, compared with loops over pairs."""

import itertools
import math

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import NegativesConfig, TowerConfig, TwoTowerConfig
from cascade.models.retriever.hard_negatives import own_negatives
from cascade.models.retriever.negatives import Catalogue, Memory, log_expected
from cascade.models.retriever.objective import Objective
from cascade.models.retriever.user_items import UserItems

LOSSES, SAMPLINGS = ("bpr", "softmax", "sampled_softmax"), ("in_batch", "mixed", "hard")
COMBINATIONS = list(itertools.product(LOSSES, SAMPLINGS))
COUNTS = np.array([9, 6, 4, 2, 1, 0, 0, 0])
WIDTH, SIZE, MINED, TEMPERATURE = 5, 4, 2, 0.2
OF_BATCH = np.array([0, 1, 0, 3], np.int32)
OWN = np.array([[4, 5, 2], [6, -1, 1], [1, 3, -1], [7, 2, 6]], np.int32)


def config(loss, sampling, memory=0, margin=0.1):
    negatives = NegativesConfig(drawn=3, per_query=3, share=0.67, popularity=0.5, memory=memory, margin=margin)
    tower = TowerConfig(mlp=[WIDTH])
    return TwoTowerConfig(
        user_tower=tower, item_tower=tower, loss=loss, neg_sampling=sampling, negatives=negatives, temperature=0.2
    )


def objective(section, steps=10):
    return Objective(section, COUNTS, Catalogue(COUNTS, section.negatives.popularity), SIZE, steps)


def batch_of(sampling):
    batch = {"item_row": OF_BATCH}
    if sampling == "mixed":
        batch["drawn_row"] = np.array([5, 1, 6], np.int32)
    if sampling == "hard":
        distinct, at = np.unique(OWN, return_inverse=True)
        batch |= {"own_row": OWN, "distinct_row": np.maximum(distinct, 0), "distinct_at": at.reshape(OWN.shape)}
    return batch


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(3)
    both = rng.normal(size=(SIZE + len(COUNTS), WIDTH)).astype(np.float32)
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    return both[:SIZE], both[SIZE:]


def expected_count(section, row, mined_rows):
    """Expected occurrences of an item among a query's candidates, over the batch size; without own negatives in bpr."""
    popularity = np.maximum(COUNTS, 1) ** 0.5
    drawn = {"in_batch": 0, "mixed": 3, "hard": int(section.loss != "bpr")}[section.neg_sampling]
    chance = COUNTS[row] / COUNTS.sum() * (SIZE + section.negatives.memory)
    return (chance + drawn * popularity[row] / popularity.sum() + (row in mined_rows)) / SIZE


def pairs(section, queries, items, memory=()):
    """For each query: logits of the positive, shared and own negatives; all cosines minus the positive's."""
    shared = [*OF_BATCH, *({"mixed": [5, 1, 6]}.get(section.neg_sampling, [])), *memory]
    for at, query in enumerate(queries):
        own = OWN[at] if section.neg_sampling == "hard" else []
        positive, apart = OF_BATCH[at], section.loss == "bpr"
        mined_rows = set() if apart else {row for row in own[:MINED] if row >= 0}

        def logit(row, like=None, query=query, mined_rows=mined_rows):
            value = float(query @ items[row]) / TEMPERATURE
            like = row if like is None else like
            return value - math.log(expected_count(section, like, mined_rows)) * (section.loss != "softmax")

        wrong = [row for row in shared if row != positive]
        wrong_own = [row for row in own if row not in (positive, -1)]
        ahead = [float(query @ (items[row] - items[positive])) for row in [*wrong, *wrong_own]]
        of_own = [logit(row, positive if apart else None) for row in wrong_own]
        yield logit(positive), [logit(row) for row in wrong], of_own, ahead


def by_loops(section, queries, items, memory=()):
    """The loss, and the share of hard negatives."""
    found = list(pairs(section, queries, items, memory))
    ahead = np.concatenate([a for *_, a in found])
    share = float((ahead > -section.negatives.margin).mean())
    if section.loss == "bpr":
        means = []
        for group in (1, 2):
            if any(f[group] for f in found):
                means.append(np.mean([math.log1p(math.exp(n - f[0])) for f in found for n in f[group]]))
        return float(np.mean(means)), share
    losses = [-p + math.log(sum(map(math.exp, [p, *shared, *own]))) for p, shared, own, _ in found]
    return float(np.mean(losses)), share


@pytest.mark.parametrize(("loss", "sampling"), COMBINATIONS)
def test_loss_and_hard_share(loss, sampling, vectors):
    queries, items = vectors
    section, batch = config(loss, sampling), batch_of(sampling)
    made = objective(section)
    got = made(queries, items[made.rows(batch)], batch, TEMPERATURE)
    expected, share = by_loops(section, queries, items)
    assert float(got) == pytest.approx(expected, rel=1e-5)
    assert made.hard_share() == pytest.approx(share)
    assert 0 < share < 1


@pytest.mark.parametrize(("loss", "sampling"), COMBINATIONS)
def test_with_a_memory(loss, sampling, vectors):
    """The second batch has the first one's items as negatives; of three batches the oldest is dropped."""
    queries, items = vectors
    section, batch = config(loss, sampling, memory=3), batch_of(sampling)
    made = objective(section)
    made(queries, items[made.rows(batch)], batch, TEMPERATURE)
    assert made.memory.rows.numpy().tolist() == OF_BATCH[:3].tolist()
    before, made.hard = made.hard.numpy(), tf.Variable(tf.zeros([2], tf.float64))
    got = made(queries, items[made.rows(batch)], batch, TEMPERATURE)
    expected, share = by_loops(section, queries, items, OF_BATCH[:3])
    assert float(got) == pytest.approx(expected, rel=1e-5)
    assert made.hard_share() == pytest.approx(share)
    assert made.hard.numpy()[1] > before[1] > 0


@pytest.mark.parametrize(("loss", "sampling"), COMBINATIONS)
def test_only_what_takes_part_gets_a_gradient(loss, sampling):
    """All positives are the same item: none is a negative of another, and of the rest only other items are."""
    rng = np.random.default_rng(1)
    batch = {"item_row": np.zeros(2, np.int32)}
    if sampling == "mixed":
        batch["drawn_row"] = np.array([0, 4], np.int32)
    if sampling == "hard":
        own = np.array([[4, 0, -1], [0, -1, -1]], np.int32)
        batch |= {"own_row": own, "distinct_row": np.array([0, 0, 4]), "distinct_at": np.array([[2, 1, 0], [1, 0, 0]])}
    made = objective(config(loss, sampling))
    queries = tf.constant(rng.normal(size=(2, WIDTH)), tf.float32)
    items = tf.constant(rng.normal(size=(len(made.rows(batch)), WIDTH)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([queries, items])
        value = made(queries, items, batch, TEMPERATURE)
    of_queries, of_items = (np.abs(g).sum(axis=1) > 0 for g in tape.gradient(value, [queries, items]))
    learns = sampling != "in_batch"
    second = learns and sampling == "mixed"
    assert of_queries.tolist() == [learns, second]
    assert of_items[:2].tolist() == [learns, second]
    assert of_items[2:].tolist() == {"in_batch": [], "mixed": [False, True], "hard": [False, False, True]}[sampling]


def test_memory_gets_no_gradient_and_empty_slots_are_excluded(vectors):
    queries, items = vectors
    made = objective(config("softmax", "in_batch", memory=6))
    batch = batch_of("in_batch")
    first = made(queries, items[OF_BATCH], batch, TEMPERATURE)
    assert float(first) == pytest.approx(by_loops(made.config, queries, items)[0], rel=1e-5)
    moved = tf.Variable(items[OF_BATCH])
    with tf.GradientTape() as tape:
        value = made(queries, moved, batch, TEMPERATURE)
    gradient = tape.gradient(value, [moved, made.memory.vectors])
    assert gradient[0] is not None and gradient[1] is None


def test_items_of_the_batch_learn_for_those_of_the_memory(vectors):
    """The gradient of a negative counts (batch + memory) / batch times, that of the positive once."""
    queries, items = vectors
    made, batch = objective(config("softmax", "in_batch", memory=2)), batch_of("in_batch")
    made(queries, items[OF_BATCH], batch, TEMPERATURE)
    moved = tf.Variable(items[OF_BATCH])
    with tf.GradientTape() as tape:
        value = made(queries, moved, batch, TEMPERATURE)
    rows = np.concatenate([OF_BATCH, OF_BATCH[:2]])
    wrong = OF_BATCH[:, None] != rows[None]
    odds = np.exp(queries @ items[rows].T / TEMPERATURE)
    share = odds / ((odds * wrong).sum(axis=1) + np.diag(odds))[:, None]
    push = (share * wrong)[:, :SIZE] * (SIZE + 2) / SIZE - np.diag(1 - np.diag(share))
    np.testing.assert_allclose(tape.gradient(value, moved), push.T @ queries / SIZE / TEMPERATURE, rtol=1e-4, atol=1e-6)


def test_memory_keeps_the_last():
    memory = Memory(3, 1)
    for rows in ([1, 2], [3, 4]):
        memory.push(tf.constant(rows, tf.float32)[:, None], tf.constant(rows))
    assert memory.rows.numpy().tolist() == [3, 4, 1]
    assert memory.vectors.numpy().tolist() == [[3], [4], [1]]


def test_a_temperature_that_is_learned_gets_the_losses_gradient(vectors):
    queries, items = vectors
    made = objective(config("softmax", "in_batch"))
    temperature = tf.Variable(TEMPERATURE)
    with tf.GradientTape() as tape:
        value = made(queries, items[OF_BATCH], batch_of("in_batch"), temperature)
    step = 1e-3
    up, down = (float(made(queries, items[OF_BATCH], batch_of("in_batch"), TEMPERATURE + d)) for d in (step, -step))
    assert float(tape.gradient(value, temperature)) == pytest.approx((up - down) / (2 * step), rel=1e-2)


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_negatives_of_the_first_queries_are_counted(sampling, vectors, monkeypatch):
    queries, items = vectors
    batch, found = batch_of(sampling), []
    for counted in (2, SIZE):
        monkeypatch.setattr("cascade.models.retriever.objective.COUNTED", counted)
        made = objective(config("softmax", sampling))
        loss = made(queries, items[made.rows(batch)], batch, TEMPERATURE)
        found.append((float(loss), made.hard_share()))
    ahead = [a for *_, a in pairs(made.config, queries, items)]
    expected = [float((np.concatenate(of) > -0.1).mean()) for of in (ahead[:2], ahead)]
    assert [share for _, share in found] == pytest.approx(expected) and expected[0] != expected[1]
    assert found[0][0] == found[1][0]


def test_an_epoch_starts_the_count_anew(vectors):
    queries, items = vectors
    made, batch = objective(config("softmax", "in_batch"), steps=2), batch_of("in_batch")
    totals = []
    for _ in range(5):
        made(queries, items[OF_BATCH], batch, TEMPERATURE)
        totals.append(made.hard.numpy()[1])
    assert totals == [10, 20, 10, 20, 10]  # of 12 pairs two are of the same item


TRIALS = 40_000


@pytest.mark.parametrize("memory", [0, 5])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_corrected_candidates_stand_for_the_whole_catalogue(sampling, memory):
    """The mean over many draws of the corrected sum of exp(score) is the sum over all items."""
    rng = np.random.default_rng(0)
    section = config("sampled_softmax", sampling, memory)
    catalogue, scores = Catalogue(COUNTS, 0.5), rng.normal(size=len(COUNTS))
    parts = [rng.choice(len(COUNTS), (TRIALS, SIZE + memory), p=COUNTS / COUNTS.sum())]
    batch = {}
    if sampling == "mixed":
        parts.append(catalogue.draw(rng, TRIALS, 3))
    if sampling == "hard":
        batch["own_row"] = np.tile(np.array([[1, 4]], np.int32), (TRIALS, 1))
        parts += [batch["own_row"], catalogue.draw(rng, TRIALS, 1)]
    rows = np.concatenate(parts, axis=1)
    log_q = Objective(section, COUNTS, catalogue, SIZE, 1).correction(tf.constant(rows), batch, SIZE).numpy()
    partition = np.exp(scores[rows] - log_q).sum(axis=1) / SIZE
    can_come = COUNTS > 0 if sampling == "in_batch" else COUNTS >= 0
    whole, error = np.exp(scores)[can_come].sum(), partition.std() / math.sqrt(TRIALS)
    assert error < 0.02 * whole
    assert partition.mean() == pytest.approx(whole, abs=4 * error)


def test_without_more_than_the_batch_the_correction_is_the_share_of_the_positives():
    """Bit for bit as it was before there were other candidates."""
    section = config("sampled_softmax", "in_batch")
    expected = np.log(np.maximum(COUNTS, 1) / COUNTS.sum()).astype(np.float32)
    np.testing.assert_array_equal(log_expected(section, COUNTS, Catalogue(COUNTS, 0.0), SIZE), expected)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_draws_follow_popularity_to_the_power(power):
    catalogue = Catalogue(COUNTS, power)
    weights = np.maximum(COUNTS, 1) ** power
    drawn = catalogue.draw(np.random.default_rng(0), 200, 300)
    assert drawn.dtype == np.int32
    np.testing.assert_allclose(np.bincount(drawn.ravel(), minlength=8) / 60_000, weights / weights.sum(), atol=0.006)


def test_own_negatives_are_the_mined_then_what_was_drawn_that_the_user_has_not():
    from scipy.sparse import csr_matrix

    known = UserItems(csr_matrix(([True, True], ([0, 1], [3, 2])), shape=(2, 5), dtype=bool), np.arange(2))
    mined, drawn = np.array([[1, -1], [4, 1]], np.int32), np.array([[3, 2], [3, 2]], np.int32)
    got = own_negatives(mined, drawn, known)
    assert got["own_row"].tolist() == [[1, -1, -1, 2], [4, 1, 3, -1]]
    there = got["own_row"] >= 0
    np.testing.assert_array_equal(got["distinct_row"][got["distinct_at"]][there], got["own_row"][there])
    assert got["distinct_row"].min() >= 0 and len(got["distinct_row"]) == 5
