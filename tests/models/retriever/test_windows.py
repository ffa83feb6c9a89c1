"""Window training compared with training on single events."""

import numpy as np
import pytest
from model_shop import make_shop

from cascade.models.config import (
    TowerConfig,
    TrainingConfig,
    TwoTowerConfig,
    UserTowerConfig,
)
from cascade.models.layers.feature_gather import Lookup
from cascade.models.retriever.history_encoder import GAP
from cascade.models.retriever.losses import EXCLUDED, without_own_window
from cascade.models.retriever.negatives import Catalogue
from cascade.models.retriever.objective import Objective
from cascade.models.retriever.training import batch_of, make_step, train
from cascade.models.retriever.two_tower import build
from cascade.models.retriever.windows import Windows, continues, own_windows
from cascade.models.training.rows import WINDOW, Events
from cascade.workflows.etl.tensors import Tensors

LENGTH = 12


@pytest.fixture(scope="module")
def tensors(tmp_path_factory):
    """A shop in which every history fits."""
    return Tensors.load(make_shop(tmp_path_factory.mktemp("shop"), users=60, history=LENGTH, dislikes=True)["etl"].path)


@pytest.fixture(scope="module")
def events(tensors):
    return Events.positives(tensors.interactions("train"))


def codes(tensors):
    return np.asarray(tensors.items["item_id"])[:, 0]


def config(targets=4, **options):
    tower = {"default_dim": 8, "mlp": [16, 8]}
    history = {"kind": "transformer", "dropout": 0.0, "targets": targets}
    training = TrainingConfig(epochs=3, batch_size=64, learning_rate=5e-3)
    return TwoTowerConfig(
        user_tower=UserTowerConfig(**tower, history=history),
        item_tower=TowerConfig(**tower),
        training=training,
        **{"id_dropout": 0.0, **options},
    )


@pytest.mark.parametrize("size", [1, 3, LENGTH])
def test_an_epoch_has_every_event_once_behind_its_own_history(size, tensors, events):
    windows, rng = Windows(events, codes(tensors), size), np.random.default_rng(0)
    newest = windows.cut(rng)
    at = np.arange(len(events))
    assert (newest >= at).all() and (newest - at < size).all()
    assert (events.user_row[newest] == events.user_row).all()
    np.testing.assert_array_equal(newest[newest], newest)
    history = events.moment["history"]
    for event in at:
        place = newest[event] - event
        np.testing.assert_array_equal(history[newest[event], place:], history[event, : LENGTH - place])
    got = [
        (user, item)
        for batch in windows.batches(50, rng)
        for user, item in zip(batch["user_row"], batch["item_row"], strict=True)
    ]
    assert len(got) == len(set(got)) == len(events) // 50 * 50
    assert set(got) <= set(zip(events.user_row, events.item_row, strict=True))


def test_cuts_move_from_epoch_to_epoch_and_repeat_with_the_generators_state(tensors, events):
    windows = Windows(events, codes(tensors), 4)
    first, second = np.random.default_rng(0), np.random.default_rng(0)
    cuts = [windows.cut(first) for _ in range(2)]
    assert (cuts[0] != cuts[1]).any()
    np.testing.assert_array_equal(cuts[0], windows.cut(second))


def test_a_window_is_read_once(tensors, events):
    windows = Windows(events, codes(tensors), 4)
    read = [len(batch["history"]) / 64 for batch in windows.batches(64, np.random.default_rng(0))]
    assert windows.per_row < 0.5 and np.mean(read) == pytest.approx(windows.per_row, rel=0.5)


def test_a_window_ends_where_a_history_does_not_go_on(tensors, events):
    """A window ends at a new user, at a positive in another split, and with time gaps counted from the event."""
    starts = ~continues(events, codes(tensors))
    np.testing.assert_array_equal(starts, np.diff(events.user_row, prepend=-1) != 0)
    without = events.take(np.delete(np.arange(len(events)), 3))
    assert not continues(without, codes(tensors))[3]
    between = np.minimum(events.moment["history"], 4)
    gaps = Events(events.user_row, events.item_row, events.label, {**events.moment, GAP: between})
    assert (~continues(gaps, codes(tensors))).sum() >= starts.sum()
    told_from_here = {**events.moment, GAP: np.arange(len(events))[:, None] + np.zeros((1, LENGTH), int)}
    alone = Windows(Events(events.user_row, events.item_row, events.label, told_from_here), codes(tensors), 4)
    assert alone.per_row == 1.0


@pytest.mark.parametrize("kind", ["recency", "mean", "attention", "transformer"])
def test_queries_of_windows_are_those_of_the_events(kind, tensors, events):
    """Including context features, which belong to single events."""
    section = config()
    history = {"kind": kind, "targets": 4, "features": ["genres"]}
    section = section.model_copy(update={"user_tower": UserTowerConfig(default_dim=8, mlp=[16, 8], history=history)})
    model, lookup = build(tensors.schema, section, tensors.items), Lookup(tensors)
    windows = Windows(events, codes(tensors), 4)
    at = np.arange(40, 90)
    batch = windows.read(at, windows.cut(np.random.default_rng(1))[at])
    assert len(batch["history"]) < 30
    del batch["item_row"]
    alone = lookup.users(events.take(at).queries())
    model.query(alone)
    rng = np.random.default_rng(2)
    model.query.set_weights([w + rng.normal(scale=0.3, size=w.shape) for w in model.query.get_weights()])
    np.testing.assert_allclose(model.query(lookup.users(batch)), model.query(alone), atol=1e-4)


@pytest.mark.slow
def test_windows_of_one_event_have_the_loss_of_events(tensors, events):
    at = np.arange(0, 320, 5)
    batches = batch_of(events.take(at)), Windows(events, codes(tensors), 1).read(at, at)
    losses = []
    for batch in batches:
        section = config(targets=1)
        model, lookup = build(tensors.schema, section, tensors.items), Lookup(tensors)
        model.query(lookup.users(events.take(at[:1]).queries()))
        rng = np.random.default_rng(2)
        model.query.set_weights([rng.normal(scale=0.3, size=w.shape) for w in model.query.get_weights()])
        model.candidate(lookup.items(np.arange(2)))
        shape = [w.shape for w in model.candidate.get_weights()]
        model.candidate.set_weights([rng.normal(scale=0.3, size=s) for s in shape])
        objective = Objective(section, tensors.item_counts, Catalogue(tensors.item_counts, 0.0), len(at), 1)
        losses.append(float(make_step(model, lookup, section, objective)(batch)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_other_items_of_the_window_are_no_negatives():
    logits = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    got = without_own_window(logits, np.array([0, 1, 0])).numpy()
    excluded = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], bool)
    np.testing.assert_array_equal(got, np.where(excluded, np.float32(EXCLUDED), logits))


def test_windows_of_the_whole_batch_are_known_to_a_part_of_its_queries():
    """Queries of windows 2 and 0; the batch's other items are of 0, 5 and 2; one more candidate is of none."""
    logits = np.arange(12.0, dtype=np.float32).reshape(2, 6)
    got = without_own_window(logits, np.array([2, 0, 0, 5, 2])).numpy()
    excluded = np.array([[0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0]], bool)
    np.testing.assert_array_equal(got, np.where(excluded, np.float32(EXCLUDED), logits))


@pytest.mark.parametrize("cut", [1, 17, 25, 49])
def test_parts_of_a_batch_read_their_own_windows(cut, tensors, events):
    """Wherever a batch is split; a window that is split is encoded by both workers."""
    windows, at = Windows(events, codes(tensors), 4), np.arange(40, 90)
    batch = windows.read(at, windows.cut(np.random.default_rng(1))[at])
    parts = [{**batch, WINDOW: batch[WINDOW][rows]} for rows in (slice(cut), slice(cut, None))]
    found = [own_windows(part) for part in parts]
    within = batch[WINDOW][cut - 1] == batch[WINDOW][cut]
    assert sum(len(part["history"]) for part in found) == len(batch["history"]) + within
    rows = np.concatenate([part["history"][part[WINDOW]] for part in found])
    np.testing.assert_array_equal(rows, batch["history"][batch[WINDOW]])
    assert all(set(part[WINDOW]) == set(range(len(part["history"]))) for part in found)


def test_a_user_shown_as_unknown_has_no_history(tensors, events):
    model, lookup = build(tensors.schema, config(), tensors.items), Lookup(tensors)
    windows = Windows(events, codes(tensors), 4)
    at = np.arange(40)
    batch = windows.read(at, windows.cut(np.random.default_rng(1))[at])
    del batch["item_row"]
    hidden = lookup.users(batch, id_dropout=0.999999)
    unknown = lookup.users(events.take(at).queries(), id_dropout=0.999999)
    assert not unknown["history"].numpy().any()
    np.testing.assert_allclose(model.query(hidden), model.query(unknown), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"neg_sampling": "hard", "negatives": {"per_query": 4, "share": 0.5, "refresh_steps": 5, "memory": 50}},
        {"neg_sampling": "mixed", "negatives": {"drawn": 32}, "loss": "softmax"},
        {"loss": "bpr"},
    ],
    ids=["hard with a memory", "mixed", "bpr"],
)
def test_every_sampling_learns_on_windows(options, tensors, tmp_path):
    section = TwoTowerConfig.model_validate({**config(id_dropout=0.2).model_dump(), **options})
    _, found = train(tensors, section, tmp_path)
    assert np.isfinite(found.losses).all() and found.losses[-1] < found.losses[0]
