"""The inputs of a request, and what is refused."""

import numpy as np
import pytest

from cascade.core.errors import RequestError
from cascade.core.signature import ColumnSpec
from cascade.ensemble.config import ServingConfig
from cascade.ensemble.graph.request_graph import request_inputs
from cascade.ensemble.protocol.inputs import Input
from cascade.ensemble.protocol.request_batching import RequestBatcher

CONTEXTS = {name: ColumnSpec(dtype) for name, dtype in (("hour", "int64"), ("price", "float64"), ("device", "object"))}
INPUTS = request_inputs("int64", "int64", CONTEXTS, ServingConfig(), {"price": (-1e6, 1e30), "hour": (-1.0, 1.0)})
USERS = np.array([[1], [2]])


def accept(request, inputs, max_users):
    return RequestBatcher(inputs, max_users).accept(request)


def column(*values, dtype="int64"):
    return np.array(values, dtype=dtype)[:, None]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "user_id: is required, and missing"),
        ({"user_id": USERS, "usr": USERS}, "usr: no input of that name; there are user_id, hour"),
        ({"user_id": USERS.astype(np.int32)}, r"user_id: expected int64\[B, 1\], got int32\[2, 1\]"),
        ({"user_id": np.array([1, 2])}, r"user_id: expected int64\[B, 1\], got int64\[2\]"),
        ({"user_id": np.array(3)}, "user_id: expected 1 to 1024 users in one call, got 0"),
        ({"user_id": USERS[:0]}, "user_id: expected 1 to 1024 users in one call, got 0"),
        ({"user_id": np.zeros((100_000, 1), np.int64)}, "user_id: expected 1 to 1024 users in one call, got 100000"),
        ({"user_id": USERS, "top_k": column(5, dtype="int32")}, "top_k: expected 2 rows as in user_id, got 1"),
        ({"user_id": USERS, "top_k": column(5, -1, dtype="int32")}, "top_k: expected 1 to 200, got -1"),
        ({"user_id": USERS, "top_k": column(5, 201, dtype="int32")}, "top_k: expected 1 to 200, got 201"),
        ({"user_id": USERS, "temperature": column(0, -0.5, dtype="float32")}, "temperature: expected at least 0"),
        (
            {"user_id": USERS, "temperature": column(0, np.nan, dtype="float32")},
            "temperature: expected a number, got NaN",
        ),
        ({"user_id": USERS, "temperature": column(0, np.inf, dtype="float32")}, "temperature: expected a finite"),
        ({"user_id": USERS, "price": column(0, np.inf, dtype="float64")}, "price: expected a finite number, got inf"),
        ({"user_id": USERS, "price": column(0, 1e39, dtype="float64")}, r"price: .* -1e\+06 to 1e\+30, got 1e\+39"),
        ({"user_id": USERS, "price": column(np.nan, -2e6, dtype="float64")}, "price: expected .*, got -2000000.0"),
        ({"user_id": USERS, "device": column("a", "b\0", dtype="object")}, r"device: expected text without .*'b\\x00'"),
        ({"user_id": USERS, "device": column("a", 3, dtype="object")}, "device: expected a string or none, got 3"),
        ({"user_id": USERS, "exclude_items": USERS[:, :, None]}, r"exclude_items: expected int64\[B, E\]"),
        ({"user_id": USERS, "exclude_items": np.zeros((2, 10_001), np.int64)}, "exclude_items: expected at most 10000"),
    ],
)
def test_what_is_not_valid_is_named(request_, message):
    with pytest.raises(RequestError, match=message):
        accept(request_, INPUTS, max_users=1024)


@pytest.mark.parametrize("bad", [None, "", 7])
def test_a_string_user_id_is_a_string_and_not_empty(bad):
    inputs = request_inputs("object", "int64", {}, ServingConfig())
    with pytest.raises(RequestError, match="user_id: expected a string, got"):
        accept({"user_id": column("a", bad, dtype="object")}, inputs, max_users=5)


def test_inputs_that_are_left_out_have_defaults():
    got = accept({"user_id": USERS}, INPUTS, max_users=5)
    assert got["top_k"].tolist() == [[50], [50]] and got["top_k"].dtype == np.int32
    assert got["temperature"].tolist() == [[0], [0]] and got["temperature"].dtype == np.float32
    assert got["hour"].tolist() == [[np.iinfo(np.int64).min]] * 2
    assert np.isnan(got["price"]).all() and got["price"].dtype == np.float64
    assert got["device"].tolist() == [[None], [None]]
    assert got["exclude_items"].shape == (2, 0) and got["exclude_items"].dtype == np.int64
    assert got["seed"][0] != got["seed"][1]


def test_missing_values_are_accepted_where_they_may_be():
    request = {
        "user_id": USERS,
        "price": column(1, np.nan, dtype="float64"),
        "device": column("a", None, dtype="object"),
    }
    assert accept(request, INPUTS, max_users=5)["price"] is request["price"]


def test_survives_json():
    for entry in INPUTS:
        assert Input.from_json(entry.to_json()) == entry
