"""Values as callers have them, in the dtypes of a graph's inputs."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from cascade.api.request import Inputs
from cascade.ensemble.protocol.inputs import MISSING, Input
from cascade.errors import RequestError

INPUTS = Inputs(
    [
        Input("user_id", "object", required=True),
        Input("device", "object", missing=True),
        Input("since", "int64", missing=True),
        Input("price", "float64", missing=True),
        Input("tags", "object", ("L",), missing=True),
        Input("exclude_items", "int64", ("E",), missing=True),
        Input("top_k", "int32", default=5, minimum=1, maximum=10),
    ]
)
NO_NUMBER = MISSING["int64"]


def column(name, value, users=("a", "b")):
    return INPUTS.columns(list(users), {name: value}, None)[name].tolist()


def test_names():
    assert INPUTS.context == ["device", "since", "price", "tags"]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("device", "app", [["app"], ["app"]]),
        ("device", ["app", None], [["app"], [None]]),
        ("device", pd.Series(["app", np.nan], index=[5, 6]), [["app"], [None]]),
        ("device", pd.Series(["app", "web"], dtype="category"), [["app"], ["web"]]),
        ("device", [1, "web"], [["1"], ["web"]]),
        ("device", [7.0, True], [["7"], ["true"]]),
        ("device", np.array([7.0, 0.5]), [["7"], ["0.5"]]),
        ("tags", [7.0, False], [["7", "false"]] * 2),
        ("since", 3, [[3], [3]]),
        ("since", True, [[1], [1]]),
        ("since", ["3", 4.0], [[3], [4]]),
        ("since", pd.Series([1, pd.NA], dtype="Int64"), [[1], [NO_NUMBER]]),
        ("since", pd.to_datetime(["1970-01-02", None]), [[86_400], [NO_NUMBER]]),
        ("price", 2, [[2.0], [2.0]]),
        ("price", np.array([1.5, 2.5], "float32"), [[1.5], [2.5]]),
        ("price", np.array([0.1, 0.7], "float32"), [[0.1], [0.7]]),
        ("price", pa.array([0.1, 0.7], pa.float32()), [[0.1], [0.7]]),
        ("price", [np.float32(0.1), np.float32(0.7)], [[0.1], [0.7]]),
        ("device", np.array([0.1, 7.0], "float32"), [["0.1"], ["7"]]),
        ("price", ["1.5", 2], [[1.5], [2.0]]),
        ("tags", ["x", "y"], [["x", "y"], ["x", "y"]]),
        ("tags", [["x"], ["y", "z"]], [["x", None], ["y", "z"]]),
        ("tags", pd.Series([["x"], []], index=[7, 8]), [["x"], [None]]),
        ("tags", [], [[], []]),
    ],
)
def test_context(name, value, expected):
    assert column(name, value) == expected


def test_what_is_missing_in_a_number():
    assert np.isnan(column("price", [None, np.nan])).all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("since", 1.5, "since: expected int64, got 1.5"),
        ("since", 2**70, "since: expected int64, got"),
        ("since", [1, 2, 3], "context since: expected one value, or one for each of 2 users, got 3"),
        ("tags", "x", r"context tags: expected a list of values, got 'x'; write \['x'\]"),
        ("tags", [["x"], ["y"], ["z"]], "context tags: expected one list, or one for each of 2 users, got 3"),
        ("price", "cheap", "price: expected float64, got 'cheap'"),
        ("device", "\ud800", r"device: expected text that UTF-8 can hold, got '\\ud800'"),
        ("device", ["a", ["b"]], r"device: expected a string, got \['b'\]"),
        ("tags", [["x"], 3], "context tags: expected one list, or one for each of 2 users, got"),
    ],
)
def test_refusals(name, value, message):
    with pytest.raises(RequestError, match=message):
        column(name, value)


def test_controls_and_excluded_items():
    made = INPUTS.columns({"a"}, None, {3: "x", 4: "y"}.keys(), top_k=3, temperature=None)
    assert made["exclude_items"].tolist() == [[3, 4]] and made["top_k"].tolist() == [[3]]
    assert made["top_k"].dtype == np.int32 and list(made) == ["user_id", "exclude_items", "top_k"]
    assert INPUTS.ids("item_id", ["7", 8]).tolist() == [7, 8]
    with pytest.raises(RequestError, match="user_id: expected a string, got a missing value; drop that row"):
        INPUTS.ids("user_id", ["a", None])


@pytest.mark.parametrize("users", [[1], ["a", 1], np.array([1, 2]), pd.DataFrame({"user_id": [1]})])
def test_a_number_is_no_id_where_ids_are_text(users):
    with pytest.raises(RequestError, match="user_id: expected a string, as the ids of this model are text, got 1"):
        INPUTS.columns(users, None)


@pytest.mark.parametrize("user", [True, 1.5, b"a", object(), ["a"], np.array([1, 2])])
def test_only_text_is_an_id_where_ids_are_text(user):
    users = np.empty(2, object)
    users[:] = ["a", user]
    with pytest.raises(RequestError, match="user_id: expected a string"):
        INPUTS.columns(users, None)


NUMBERS = Inputs([Input("user_id", "int64", required=True), Input("top_k", "int32", default=5)])
EXACT = 2**53
"""The first whole number that float64 shares with another one."""


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array(["2020-01-01"], "datetime64[s]"), r"got times \(datetime64\[s\]\)"),
        (pd.to_datetime(["2020-01-01"]), r"got times \(datetime64\[ns\]\)"),
        (np.ma.array([1, 2], mask=[False, True]), "got a missing value; drop that row"),
        (pa.array([1, None]), "got a missing value; drop that row"),
        (pa.chunked_array([[1], [None]]), "got a missing value; drop that row"),
        (["1_0"], "got '1_0'"),
        (["\u0661"], "got '\u0661'"),
        ([float(EXACT)], "got the float 9007199254740992.0; from 9,007,199,254,740,992 on"),
        (np.array([float(EXACT)]), "got the float 9007199254740992.0"),
        (np.array([2**24], "float32"), "got the float 16777216.0; from 16,777,216 on"),
        (pa.table({"user_id": [1]}), "a Table; pass one column of it"),
        ({"user_id": [1]}, "a dict; pass one column of it"),
    ],
)
def test_ids_that_would_be_those_of_somebody_else(ids, message):
    with pytest.raises(RequestError, match=f"user_id: expected .*{message}"):
        NUMBERS.ids("user_id", ids)


def test_ids_as_exact_as_their_dtype():
    for ids in ([float(EXACT - 1)], np.array([EXACT - 1], "float64")):
        assert NUMBERS.ids("user_id", ids).tolist() == [EXACT - 1]
    for ids in ([EXACT + 1], pa.array([EXACT + 1]), [f"{EXACT + 1}"]):
        assert NUMBERS.ids("user_id", ids).tolist() == [EXACT + 1]
    assert NUMBERS.ids("user_id", np.array([2**24 - 1], "float32")).tolist() == [2**24 - 1]


def test_whole_numbers_of_arrow_stay_exact_beside_a_missing_one():
    assert column("since", pa.array([EXACT + 1, None])) == [[EXACT + 1], [NO_NUMBER]]
    assert column("since", pa.array([pd.Timestamp("1970-01-02"), None])) == [[86_400], [NO_NUMBER]]


@pytest.mark.parametrize("value", [True, np.True_, float("nan"), [3]], ids=str)
def test_a_control_is_one_number(value):
    with pytest.raises(RequestError, match="top_k: expected one number for all users, got"):
        NUMBERS.columns([1], None, top_k=value)


@pytest.mark.parametrize("name", ["user_id", "exclude_items", "tok_p"])
def test_other_controls_are_refused(name):
    with pytest.raises(RequestError, match=f"{name}: no such control; there are top_k, temperature, seed"):
        NUMBERS.columns([1], None, **{name: 1})


def test_only_ids_have_ids():
    with pytest.raises(RequestError, match="column: expected user_id or item_id, got 'price'"):
        INPUTS.ids("price", [1])
