"""Interactions without times: the order of the rows means nothing."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from cascade.core.errors import ConfigError
from cascade.workflows.config import SplitConfig
from cascade.workflows.data.drawn_order import STEPS, drawn, drawn_cuts, twins_before, with_drawn_places

SCHEMA = {"sparse": ["user_id", "item_id"]}
RNG = np.random.default_rng(0)
PAIRS = np.unique(RNG.integers(0, [40, 60], (900, 2)), axis=0)
"""[n, 2]: users and items."""


def log_of(order, **columns):
    return {"user_id": PAIRS[order, 0], "item_id": PAIRS[order, 1], **columns}


def rows_of(artifact):
    return ds.dataset(artifact.path / "interactions").to_table().to_pylist()


@pytest.mark.parametrize("split", [{}, {"by": "time"}, {"by": "new_items"}])
def test_no_order_of_the_rows_changes_the_artifact(run_data, split):
    orders = (np.arange(len(PAIRS)), np.argsort(PAIRS[:, 1], kind="stable"), RNG.permutation(len(PAIRS)))
    found = [run_data(SCHEMA, {"interactions": log_of(order)}, split=split) for order in orders]
    assert len({artifact.path for artifact in found}) == 3
    first, *others = [rows_of(artifact) for artifact in found]
    assert [rows == first for rows in others] == [True, True]


def test_times_that_are_all_equal_are_no_times(run_data):
    order = np.arange(len(PAIRS))
    without = run_data(SCHEMA, {"interactions": log_of(order)})
    equal = run_data(SCHEMA, {"interactions": log_of(order, timestamp=np.full(len(PAIRS), 1_700_000_000))})
    assert rows_of(without) == rows_of(equal)
    times = run_data(SCHEMA, {"interactions": log_of(order, timestamp=order + 1_700_000_000)})
    known = [json.loads((one.path / "tables.json").read_text())["has_timestamp"] for one in (without, equal, times)]
    assert known == [False, False, True]
    assert "notices" not in times.metrics


def test_what_the_notice_says(run_data):
    log = {"interactions": log_of(np.arange(len(PAIRS)))}
    assert "the test part is one random positive of each user" in run_data(SCHEMA, log).metrics["notices"][0]
    of_time = run_data(SCHEMA, log, split={"by": "time"}).metrics
    assert "a random share" in of_time["notices"][0]
    assert abs(of_time["n_test"] / len(PAIRS) - 0.1) < 0.04
    assert abs(of_time["n_valid"] / len(PAIRS) - 0.2) < 0.05


def test_the_last_item_is_a_random_one(run_data):
    """Sorted by item, the last row of each user would be an item of a high id."""
    order = np.argsort(PAIRS[:, 1], kind="stable")
    rows = rows_of(run_data(SCHEMA, {"interactions": log_of(order)}))
    held_out = [row["item_id"] for row in rows if row["split"] == "test"]
    assert len(held_out) == 40
    assert 20 < np.mean(held_out) < 40


def test_a_held_out_interaction_has_all_of_the_training_part_before_it(run_data):
    parts = RNG.choice(["train", "valid", "test"], len(PAIRS), p=[0.6, 0.2, 0.2])
    log = log_of(np.arange(len(PAIRS)), split=parts)
    rows = rows_of(run_data(SCHEMA, {"interactions": log}, split={"by": "column", "column": "split"}))
    order = [(row["user_id"], ["train", "valid", "test"].index(row["split"]), row["timestamp"]) for row in rows]
    assert order == sorted(order)


def test_places_are_uniform_and_those_of_a_user_independent_of_the_item_number():
    user, item = (values.ravel().astype(np.int32) for values in np.meshgrid(np.arange(100), np.arange(1000)))
    first = np.zeros(len(user), np.int64)
    places = drawn(user, item, first)
    assert places.min() >= 0 and places.max() < STEPS
    assert np.abs(np.bincount(places * 10 // STEPS) / len(places) - 0.1).max() < 0.01
    assert abs(np.corrcoef(places, item)[0, 1]) < 0.01
    assert abs(np.corrcoef(places, user)[0, 1]) < 0.01
    assert drawn(user[:1], item[:1], first[:1]) != drawn(item[1:2] + 1, user[:1], first[:1])
    assert abs(np.corrcoef(places, drawn(user, item, first + 1))[0, 1]) < 0.01


def test_places_by_hand():
    part = pa.table({"timestamp": [7, 7, 7], "split": ["test", "train", "valid"]})
    same = np.zeros(3, np.int32)
    placed = with_drawn_places(part, same, same)["timestamp"].to_pylist()
    assert [place // STEPS for place in placed] == [2, 0, 1]
    assert [place % STEPS for place in placed] == drawn(same, same, np.arange(3)).tolist()
    assert len({place % STEPS for place in placed}) == 3
    pairs = pa.table({"user_id": [1, 0, 1, 1, 1], "item_id": [5, 5, 6, 5, 5], "timestamp": [0] * 5})
    rows = pairs.append_column("price", pa.array([3.0, 1.0, 1.0, None, 2.0]))
    keys = [pairs["user_id"].to_numpy(), pairs["item_id"].to_numpy()]
    assert twins_before(rows, *keys).tolist() == [1, 0, 0, 2, 0]
    assert sorted(twins_before(pairs, *keys)[[0, 3, 4]]) == [0, 1, 2]
    assert drawn_cuts(SplitConfig(by="time", valid_share=0.2, test_share=0.1)) == (21_000_000, 27_000_000)


def test_the_history_is_a_set_and_has_no_gaps(run_data, run_etl):
    data = run_data(SCHEMA, {"interactions": log_of(np.arange(len(PAIRS)))})
    schema = json.loads((run_etl(data, SCHEMA).path / "schema.json").read_text())
    assert [row["ordered"] for row in schema if row["name"] == "history"] == [False]
    with pytest.raises(ConfigError, match=r"history.gaps: the interactions have no timestamps"):
        run_etl(data, SCHEMA, gaps=True)
