"""The test requests of a data artifact."""

import numpy as np
import pandas as pd
import pytest

from cascade.core.errors import DataError
from cascade.core.signature import ColumnSpec
from cascade.evaluation.held_out import LoggedTest

USERS, ITEMS = np.array(["ann", "bob", "cy"]), np.array([7, 8, 9])
INPUTS = {
    "user_id": ColumnSpec("object"),
    "hour": ColumnSpec("int64"),
    "place": ColumnSpec("object"),
    "price": ColumnSpec("float64"),
    "top_k": ColumnSpec("int32"),
}
NONE = np.iinfo(np.int64).min


@pytest.fixture
def logged(tmp_path):
    rows = [
        # user, item, positive, hour, place, price, split
        ("ann", 7, True, 1, "x", 0.5, "train"),
        ("bob", 9, False, 2, "x", 0.5, "test"),
        ("bob", 8, True, None, None, None, "test"),
        ("bob", 7, True, 4, "y", 1.5, "test"),
        ("cy", 7, False, 5, "y", 2.5, "test"),
        ("ann", 9, True, 6, "z", 3.5, "test"),
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "positive", "hour", "place", "price", "split"])
    (tmp_path / "interactions").mkdir()
    table.astype({"hour": "Int64"}).to_parquet(tmp_path / "interactions/part-0.parquet")
    return LoggedTest.read(tmp_path, USERS, ITEMS)


def test_one_request_for_each_user_in_the_context_of_the_first_positive(logged):
    got = logged.users_held_out(INPUTS, None, seed=0)
    assert got.rows.tolist() == [0, 1]
    assert got.columns["user_id"].tolist() == [["ann"], ["bob"]]
    assert got.columns["hour"].tolist() == [[6], [NONE]]
    assert got.columns["place"].tolist() == [["z"], [None]]
    assert got.columns["price"][0] == 3.5 and np.isnan(got.columns["price"][1])
    assert set(got.columns) == {"user_id", "hour", "place", "price"}
    assert got.relevant.toarray().tolist() == [[False, False, True], [True, True, False]]
    assert got.events.tolist() == [4, 1]


def test_columns_have_the_dtypes_of_the_inputs(logged):
    got = logged.users_held_out(INPUTS, None, seed=0)
    assert all(INPUTS[name].accepts(column) for name, column in got.columns.items())


def test_a_sample_is_seeded_and_sorted(logged):
    some = [logged.users_held_out(INPUTS, 1, seed=seed).rows.tolist() for seed in range(20)]
    assert {tuple(rows) for rows in some} == {(0,), (1,)}
    assert logged.users_held_out(INPUTS, 1, seed=3).rows.tolist() == some[3]
    assert logged.users_held_out(INPUTS, 5, seed=3).rows.tolist() == [0, 1]


def test_impressions_are_all_interactions_of_the_test_users(logged):
    got, events = logged.impressions(INPUTS, None, seed=0)
    assert got["user_id"][:, 0].tolist() == ["ann", "bob", "bob", "bob", "cy"]
    assert got["candidate_rows"].tolist() == [[2], [2], [1], [0], [0]]
    assert got["hour"][:, 0].tolist() == [6, 2, NONE, 4, 5]
    assert events.tolist() == [4, 0, 1, 2, 3]


def test_the_label_column_replaces_the_positives_as_label(logged, tmp_path):
    table = pd.read_parquet(tmp_path / "interactions")
    table.assign(label=[0, 1, 0, 0, 1, 0]).to_parquet(tmp_path / "interactions/part-0.parquet")
    again = LoggedTest.read(tmp_path, USERS, ITEMS)
    _, events = again.impressions(INPUTS, None, seed=0)
    assert again.label[events].tolist() == [False, True, False, False, True]


def test_no_positive_is_an_error(logged, tmp_path):
    table = pd.read_parquet(tmp_path / "interactions").assign(positive=False)
    table.to_parquet(tmp_path / "interactions/part-0.parquet")
    with pytest.raises(DataError, match="no positive"):
        LoggedTest.read(tmp_path, USERS, ITEMS).users_held_out(INPUTS, None, seed=0)
