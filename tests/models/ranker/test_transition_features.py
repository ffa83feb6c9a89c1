"""Transition features, in training without the event itself, and in serving."""

from dataclasses import replace

import numpy as np
import pytest
from dlrm_inputs import SCHEMA, columns, small
from model_shop import make_shop

from cascade.core.errors import ConfigError
from cascade.core.features import FeatureSchema
from cascade.models._merlin import tf
from cascade.models.config import DlrmConfig, TransitionsConfig
from cascade.models.layers.feature_gather import Lookup
from cascade.models.ranker.dlrm import build
from cascade.models.ranker.rows import CandidateRows, ImpressionRows
from cascade.models.ranker.transition_features import TransitionFeatures
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors
from cascade.workflows.history.transitions import TRANSITIONS, WIDTH

THREE = TransitionsConfig(last=3, window=4)


class Fixed:
    """A retriever that returns the first ten items."""

    def __call__(self, tensors, events, seen):
        return np.tile(np.arange(10, dtype=np.int32), (len(events), 1))


def counts_without(tensors, events, at, items):
    """The features of event ``at`` from counts without that event."""
    others = np.delete(np.arange(len(events)), at)
    sizes = tensors.schema["history"].cardinality, len(tensors.item_ids)
    history = np.asarray(events.moment["history"])
    made = TransitionFeatures.of(tensors, THREE).transitions.from_histories(
        history[others], events.item_row[others], sizes, THREE.window
    )
    return made(history[at : at + 1], items[None], THREE.last)[0]


def test_a_set_has_no_transitions(tensors):
    features = (replace(f, ordered=False) if f.name == "history" else f for f in tensors.schema)
    unordered = replace(tensors, schema=FeatureSchema(tuple(features)))
    with pytest.raises(ConfigError, match="dlrm_ranker.transitions.last: the interactions have no timestamps"):
        TransitionFeatures.of(unordered, THREE)


def test_it_is_off_by_default(tensors):
    assert TransitionFeatures.of(tensors, DlrmConfig().transitions) is None
    rows = CandidateRows(tensors, Fixed(), DlrmConfig())
    assert TRANSITIONS not in next(iter(rows.batches(np.random.default_rng(0))))
    assert build(SCHEMA, small()).followers is None


def test_counts_are_those_of_the_training_parts_positives(tmp_path):
    tensors = Tensors.load(make_shop(tmp_path, dislikes=True)["etl"].path)
    train = tensors.interactions("train")
    made = TransitionFeatures.of(tensors, THREE).transitions
    liked = train.item_row[train.positive]
    np.testing.assert_allclose(made.share, np.bincount(liked, minlength=len(tensors.item_ids)) / len(liked), rtol=1e-6)
    last = np.asarray(train.history)[train.positive, 0]
    assert made.count[:, 0].sum() == (last > 0).sum() < len(train)


def test_a_training_row_does_not_see_its_own_event(tensors):
    rows = CandidateRows(tensors, Fixed(), DlrmConfig(negatives=4), TransitionFeatures.of(tensors, THREE))
    batch = next(iter(rows.batches(np.random.default_rng(0))))
    history = np.asarray(rows.events.moment["history"])
    assert batch[TRANSITIONS].shape == (*batch["items"].shape, WIDTH)
    for place in (0, 3):
        user, item = batch["user_row"][place], batch["items"][place, 0]
        (at,) = np.flatnonzero((rows.events.user_row == user) & (rows.events.item_row == item))
        np.testing.assert_array_equal(history[at], batch["history"][place])
        got, there = batch[TRANSITIONS][place], batch["weight"][place] > 0
        expected = counts_without(tensors, rows.events, at, batch["items"][place])
        np.testing.assert_allclose(got[there, :2], expected[there, :2], atol=1e-5)


def test_only_positive_impressions_are_counted(tmp_path):
    tensors = Tensors.load(make_shop(tmp_path, label=True)["etl"].path)
    followers = TransitionFeatures.of(tensors, THREE)
    rows = ImpressionRows(tensors, DlrmConfig(), followers)
    batch = next(iter(rows.batches(np.random.default_rng(0))))
    train = tensors.interactions("train")
    events, items = Events.of(train), train.item_row[:, None]
    seen = followers.columns(events, items)[TRANSITIONS]
    unseen = followers.columns(events, items, own=train.item_row)[TRANSITIONS]
    expected = np.where(train.positive[:, None, None], unseen, seen)
    at = [
        np.flatnonzero((train.user_row == user) & (train.item_row == item))[0]
        for user, item in zip(batch["user_row"], batch["items"][:, 0], strict=True)
    ]
    np.testing.assert_array_equal(batch[TRANSITIONS], expected[at])
    assert (seen != unseen).any()


def test_a_hidden_user_has_no_last_items(tensors):
    rows = CandidateRows(tensors, Fixed(), DlrmConfig(), TransitionFeatures.of(tensors, THREE))
    batch = next(iter(rows.batches(np.random.default_rng(0))))
    shown = {name: batch[name] for name in ("user_row", "history", "hour", TRANSITIONS)}
    hidden = Lookup(tensors).users(shown, id_dropout=1.0)
    assert not hidden["history"].numpy().any()
    np.testing.assert_array_equal(hidden[TRANSITIONS], shown[TRANSITIONS] * [0, 0, 1])
    np.testing.assert_array_equal(Lookup(tensors).users(shown)[TRANSITIONS], shown[TRANSITIONS])


def test_the_model_adds_a_term_to_the_top_networks_first_layer():
    tf.keras.utils.set_random_seed(0)
    model, batch = build(SCHEMA, small(transitions={"last": 2})), columns(SCHEMA, 2, 3)
    nothing = np.zeros((2, 3, WIDTH), np.float32)
    before = model({**batch, TRANSITIONS: nothing}).numpy()
    some = nothing.copy()
    some[1, 2] = [0.5, 0.25, 1]
    after = model({**batch, TRANSITIONS: some}).numpy()
    moved = after != before
    assert moved.tolist() == [[False] * 3, [False, False, True]]
    model.followers.kernel.assign(np.zeros_like(model.followers.kernel))
    np.testing.assert_array_equal(model({**batch, TRANSITIONS: some}), before)


@pytest.mark.parametrize("last", [0, 2])
def test_the_counts_of_a_trained_ranker_are_loaded(tensors, tmp_path, last):
    config = TransitionsConfig(last=last)
    made = TransitionFeatures.of(tensors, config)
    if made:
        made.transitions.save(tmp_path)
    back, events = TransitionFeatures.open(tmp_path, config), Events.of(tensors.interactions("test"))
    assert (back is None) == (last == 0)
    if made and back:
        asked = events, np.tile(np.arange(5), (len(events), 1))
        np.testing.assert_array_equal(back.columns(*asked)[TRANSITIONS], made.columns(*asked)[TRANSITIONS])
