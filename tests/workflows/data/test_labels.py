"""Further labels, from the tables to the tensors."""

import json

import numpy as np
import pytest

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.etl.tensors import Tensors

SHOP = {
    "interactions": {
        "user_id": [1, 1, 1, 1, 2, 2, 2, 2],
        "item_id": ["a", "b", "c", "a", "b", "c", "a", "b"],
        "timestamp": [1, 2, 3, 4, 1, 2, 3, 4],
        "click": [1, 0, 1, 1, 0, 1, 1, 1],
        "like": [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0],
        "hour": [1, 2, 3, 4, 5, 6, 7, 8],
    },
}
SCHEMA = {"sparse": ["user_id", "item_id"], "dense": ["hour"]}
OPTIONS = {"positive": "click == 1", "labels": ["click", "like"], "split": {"by": "time", "valid_share": 0.25}}


def with_like(values):
    return {"interactions": {**SHOP["interactions"], "like": values}}


def test_labels_reach_the_tensors_and_are_no_features(run_data, run_etl):
    data = run_data(SCHEMA, SHOP, **OPTIONS)
    tables = json.loads((data.path / "tables.json").read_text())
    assert tables["labels"] == ["click", "like"] and tables["has_label"]
    tensors = Tensors.load(run_etl(data, SCHEMA).path)
    assert {feature.name for feature in tensors.schema} == {"user_id", "item_id", "hour", "history"}
    shown = (SHOP["interactions"][name] for name in ("user_id", "timestamp", "click", "like"))
    given = {(user, time): happened for user, time, *happened in zip(*shown, strict=True)}
    rows = 0
    for split in ("train", "valid", "test"):
        source = tensors.interactions(split)
        rows += len(source)
        for at, (user, time) in enumerate(zip(tensors.user_ids[source.user_row], source.timestamp, strict=True)):
            assert [source.labels["click"][at], source.labels["like"][at]] == given[user, time]
            assert source.positive[at] == source.labels["click"][at] == source.label[at]
        assert all(values.dtype == np.float32 for values in source.labels.values())
    assert rows == 8


LABELLED = {"interactions": {**SHOP["interactions"], "label": SHOP["interactions"]["click"]}}
OF_LABELS = "data.labels names like, but neither data.label nor data.positive is set, so every row counts"


@pytest.mark.parametrize(
    ("tables", "options", "noticed", "positives"),
    [
        (SHOP, {}, True, 8),
        (SHOP, {"label": "click"}, False, 6),
        (SHOP, {"positive": "like"}, False, 3),
        (LABELLED, {}, False, 6),
        (SHOP, {"labels": []}, False, 8),
    ],
)
def test_labels_alone_make_no_positives(run_data, tables, options, noticed, positives):
    metrics = run_data(SCHEMA, tables, **{"labels": ["like"], "leak_check": {"enabled": False}, **options}).metrics
    assert any(line.startswith(OF_LABELS) and "set data.label: like," in line for line in metrics["notices"]) == noticed
    assert metrics["n_positives"] == positives


def test_without_them_there_are_none(run_data, run_etl):
    data = run_data(SCHEMA, SHOP, positive="click == 1")
    assert json.loads((data.path / "tables.json").read_text())["labels"] == []
    assert Tensors.load(run_etl(data, SCHEMA).path).interactions("train").labels == {}


@pytest.mark.parametrize(
    ("tables", "labels", "message"),
    [
        (
            with_like([0, 1, 2, 0, 0, 1, 0, 1]),
            ["like"],
            "interactions.like, row 2: 2, expected 0 or 1; write 1 where it",
        ),
        (with_like([0, 1, 0, None, 0, 1, 0, 1]), ["like"], "interactions.like, row 3: None, expected 0 or 1"),
        (with_like(list("yynnyynn")), ["like"], "interactions.like: wrong type string"),
        (SHOP, ["lik"], "interactions.lik: missing column, did you mean 'like'?"),
    ],
)
def test_refuses_what_is_not_0_or_1(run_data, tables, labels, message):
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        run_data(SCHEMA, tables, positive="click == 1", labels=labels)


@pytest.mark.parametrize("role", ["sparse", "dense"])
def test_a_label_is_no_feature(run_data, role):
    schema = {**SCHEMA, role: [*SCHEMA[role], "like"]}
    with pytest.raises(ConfigError, match="'like' is a feature, and data.labels reads it: what is known only"):
        run_data(schema, SHOP, **OPTIONS)


RATED = {"interactions": {**SHOP["interactions"], "rating": [5, 1, 4, 2, 3, 5, 5, 4]}}


def test_a_label_is_computed_by_an_expression(run_data, run_etl):
    data = run_data(SCHEMA, RATED, label="rating >= 4", split=OPTIONS["split"])
    assert json.loads((data.path / "tables.json").read_text())["has_label"]
    tensors = Tensors.load(run_etl(data, SCHEMA).path)
    assert "rating" not in {feature.name for feature in tensors.schema}
    parts = [tensors.interactions(split) for split in ("train", "valid", "test")]
    assert sum(len(part) for part in parts) == 8
    assert sum(part.label.sum() for part in parts) == sum(part.positive.sum() for part in parts) == 5


def test_a_column_of_the_label_expression_is_no_feature(run_data):
    schema = {**SCHEMA, "dense": ["hour", "rating"]}
    with pytest.raises(ConfigError, match="'rating' is a feature, and data.label reads it"):
        run_data(schema, RATED, label="rating >= 4", split=OPTIONS["split"])
