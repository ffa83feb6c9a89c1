"""Training and validation rows of the ranker, and the look-up of features."""

from types import SimpleNamespace

import numpy as np
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.core.features import Feature, FeatureSchema
from cascade.models.config import DlrmConfig
from cascade.models.layers.feature_gather import Lookup
from cascade.models.layers.schema import check_names, merlin_schema, table_dims
from cascade.models.ranker import rows as ranker_rows
from cascade.models.ranker import training
from cascade.models.ranker.rows import (
    CandidateRows,
    ImpressionRows,
    ValidRows,
)
from cascade.models.retriever.user_items import disliked, user_items
from cascade.models.training.rows import Events, unknown_user, user_columns
from cascade.workflows.etl.tensors import Interactions


def interactions(rows):
    """From (user, item, positive) rows."""
    user, item, positive = (np.array(values) for values in zip(*rows, strict=True))
    return Interactions(
        user.astype("i4"),
        item.astype("i4"),
        np.arange(len(rows)),
        positive.astype(bool),
        positive.astype("f4"),
        {},
        np.zeros((len(rows), 2), "i4"),
    )


def test_disliked_is_what_was_never_a_positive():
    source = interactions([(0, 1, 0), (0, 2, 1), (0, 3, 0), (0, 3, 1), (1, 1, 0), (1, 1, 0)])
    assert disliked(source, (3, 4)).toarray().tolist() == [
        [False, True, False, False],
        [False, True, False, False],
        [False, False, False, False],
    ]


class Fixed:
    """A retriever that returns the same items for everybody, seen or not."""

    valid_history = "before_valid"

    def __init__(self, shown):
        self.shown = np.array(shown, np.int32)

    def __call__(self, tensors, events, seen):
        assert not seen.contains(events.item_row[:, None]).any()  # the positive itself may be shown
        return np.repeat(self.shown[None], len(events), axis=0)


def test_candidates_leave_the_positive_out_and_say_whether_it_was_there(tensors):
    rows = CandidateRows(tensors, Fixed([4, 8, 0, 5]), DlrmConfig())
    for positive, others, there in zip(rows.events.item_row, rows.candidates, rows.retrieved, strict=True):
        shown = [4, 8, 0, 5]
        expected = [i for i in shown if i != positive] if positive in shown else shown[:-1]
        assert others.tolist() == expected and there == (positive in shown)


def test_candidates_are_the_same_however_many_are_retrieved_at_once(tensors, monkeypatch):
    def shown(tensors, events, seen):
        return (events.item_row[:, None] + np.arange(-3, 9) ** 2).astype(np.int32) % len(tensors.item_ids)

    expected = CandidateRows(tensors, shown, DlrmConfig())
    monkeypatch.setattr(ranker_rows, "CHUNK", 7)
    rows = CandidateRows(tensors, shown, DlrmConfig())
    assert len(rows.events) % 7 and expected.retrieved.sum() > 0
    np.testing.assert_array_equal(rows.candidates, expected.candidates)
    np.testing.assert_array_equal(rows.retrieved, expected.retrieved)


def test_kept_items_of_a_user_become_its_candidates_and_negatives(tensors):
    config, asked = DlrmConfig(negatives=2, random_negatives=40), []

    def every_item(tensors, events, seen):
        asked.append(seen.counts().tolist())
        return np.tile(np.arange(20, dtype=np.int32), (len(events), 1))

    def weights_of_own_items(**options):
        """Of random negatives that the user has as another positive; none where they are padding."""
        rows = CandidateRows(tensors, every_item, config, **options)
        batch = rows.draw(np.random.default_rng(0), np.arange(50))
        own = user_items(rows.events, rows.hidden.shape)[batch["user_row"]].toarray()
        random = slice(-config.random_negatives, None)
        items, weight = batch["items"][:, random], batch["weight"][:, random]
        mine = np.take_along_axis(own, items, axis=1) & (items != batch["items"][:, :1]) & (items > 0)  # 0 is padding
        return set(weight[mine].tolist())

    assert weights_of_own_items() == set()
    assert weights_of_own_items(keep_seen=True) == {1.0}
    assert min(asked[0]) > 0 and max(asked[1]) == 0


def test_batches_hold_a_positive_and_its_negatives(tensors):
    config = DlrmConfig.model_validate({"negatives": 2, "random_negatives": 1, "training": {"batch_size": 40}})
    rows = CandidateRows(tensors, Fixed([4, 8, 0, 5]), config)
    batches = list(rows.batches(np.random.default_rng(0)))
    assert len(batches) == rows.steps == len(rows.events) // 10
    for batch in batches[:3]:
        assert batch["items"].shape == batch["label"].shape == (10, 4)
        assert batch["label"].sum(axis=1).tolist() == [1] * 10
        negatives = batch["items"][:, 1:][batch["weight"][:, 1:] > 0]
        assert not (negatives == np.repeat(batch["items"][:, 0], 3).reshape(10, 3)[batch["weight"][:, 1:] > 0]).any()


def test_validation_rows_mark_the_positive(tensors):
    valid = CandidateRows(tensors, Fixed([4, 8, 0, 5]), DlrmConfig()).valid(seed=0)
    assert (valid.label == (valid.candidates == valid.events.item_row[:, None])).all()


def test_impressions_need_both_labels(tensors):
    with pytest.raises(DataError, match="interactions.label: must hold both 0 and 1 in the training part"):
        ImpressionRows(tensors, DlrmConfig())


def test_unknown_users_by_hand():
    schema = FeatureSchema(
        (
            Feature("user_id", "user", "categorical", 9),
            Feature("city", "user", "categorical", 5),
            Feature("hobbies", "user", "categorical", 5, 2),
            Feature("age", "user", "continuous"),
            Feature("history", "user", "categorical", 9, 3, "item_id"),
        )
    )
    row = unknown_user(schema, {"age": np.array([[1.0], [2.0], [9.0]])})
    assert {name: values.tolist() for name, values in row.items()} == {
        "user_id": [2], "city": [1], "hobbies": [0, 0], "age": [2.0], "history": [0, 0, 0]
    }  # fmt: skip


def test_id_dropout_shows_a_share_of_rows_as_unknown(tensors):
    lookup, events = Lookup(tensors), Events.of(tensors.interactions("train"))
    shown = {name: np.asarray(values) for name, values in lookup.users(events.queries(), id_dropout=0.25).items()}
    hidden = shown["user_id"][:, 0] == 2
    assert hidden.mean() == pytest.approx(0.25, abs=0.05)
    assert not shown["history"][hidden].any() and (shown["city"][hidden] == 1).all()
    full = user_columns(tensors, events)
    for name, values in full.items():
        np.testing.assert_array_equal(shown[name][~hidden], values[~hidden])
    np.testing.assert_array_equal(shown["hour"], full["hour"])  # the context is known


def test_user_id_dropout_hides_the_id_alone(tensors):
    lookup, events = Lookup(tensors), Events.of(tensors.interactions("train"))
    shown = {name: np.asarray(each) for name, each in lookup.users(events.queries(), user_id_dropout=0.25).items()}
    full = user_columns(tensors, events)
    hidden = shown["user_id"][:, 0] != full["user_id"][:, 0]
    assert hidden.mean() == pytest.approx(0.25, abs=0.05) and (shown["user_id"][hidden] == 2).all()
    assert shown["history"][hidden].any()
    for name in full.keys() - {"user_id"}:
        np.testing.assert_array_equal(shown[name], full[name])


@pytest.mark.parametrize(
    ("train", "valid", "share"),
    [
        ([0] * 10, [0, 0, 1, 2], 0.5 - 0.1),
        ([0] * 6 + [2] * 4, [1, 0, 1, 3], 0.75 - 0.2),
        ([0] * 10, [1, 2, 3], 0.7),
        ([0, 0, 2], [0, 1, 2, 2], 0.0),
        ([0, 1], [], 0.0),
    ],
)
def test_user_ids_are_hidden_as_often_as_users_are_new(train, valid, share):
    parts = {"train": train, "valid": valid}
    tensors = SimpleNamespace(
        user_ids=np.arange(4), interactions=lambda split: SimpleNamespace(user_row=np.array(parts[split], np.int32))
    )
    assert training.user_id_dropout(DlrmConfig(), tensors) == pytest.approx(share)
    assert training.user_id_dropout(DlrmConfig(user_id_dropout=0.5), tensors) == 0.5


def test_merlins_schema(tensors):
    from merlin.schema import Tags

    schema = merlin_schema(tensors.schema)
    assert schema["history"].int_domain.name == schema["item_id"].int_domain.name == "item_id"
    assert schema["item_id"].int_domain.max == tensors.schema["item_id"].cardinality - 1
    assert schema.select_by_tag(Tags.ITEM_ID).column_names == ["item_id"]
    assert schema.select_by_tag(Tags.USER_ID).column_names == ["user_id"]
    assert set(schema["hour"].tags) == {Tags.CONTEXT, Tags.CONTINUOUS}


def test_widths_of_tables(tensors):
    dims = table_dims(tensors.schema, ("user", "context"), {"city": 4, "item_id": 6}, 16)
    assert dims == {"user_id": 16, "city": 4, "item_id": 6}
    with pytest.raises(ConfigError, match=r"x.citi: no such categorical feature; did you mean 'city'\?"):
        check_names(tensors.schema, {"citi": 4}, "x")


class WideLookup:
    """Users and items as their own row numbers; an item is ``values`` numbers wide."""

    followers = None

    def __init__(self, values):
        self.values = values

    def users(self, moment):
        return {"user": moment["user_row"]}

    def items(self, rows):
        return {"item": np.repeat(rows[..., None], self.values, axis=-1)}


@pytest.mark.parametrize(("values", "sizes"), [(2, [7, 3]), (8, [5, 5]), (100, [1] * 10)])
def test_the_rows_scored_at_once_are_fewer_the_wider_an_item_is(values, sizes, monkeypatch):
    """Ten requests with three candidates: at most 21 rows and 120 numbers of items at once."""
    monkeypatch.setattr(training, "SCORED_ROWS", 21)
    monkeypatch.setattr(training, "SCORED_VALUES", 120)
    one = np.arange(10, dtype=np.int32)
    events, items = Events(one, one, np.zeros(10, np.float32), {}), np.arange(30, dtype=np.int32).reshape(10, 3)
    rows = ValidRows(events, items, np.zeros((10, 3), bool))
    chunks = list(training.column_chunks(WideLookup(values), rows))
    assert [len(chunk["user"]) for chunk in chunks] == sizes
    assert np.concatenate([chunk["item"][..., 0] for chunk in chunks]).tolist() == rows.candidates.tolist()
