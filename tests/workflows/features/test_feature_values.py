"""Decoded columns against Feast's message and its conversion to Python."""

from typing import Any

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import feast_value_type_to_python_type
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cascade.core.errors import FeatureStoreError
from cascade.workflows.features.values import (
    ValueDecoder,
    int_lists,
)
from cascade.workflows.transforms.codes import DTYPES, MISSING

DECODER = ValueDecoder()
INT32, INT64 = (st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (32, 64))
SCALARS = {
    "int32": INT32,
    "int64": INT64 | st.integers(-300, 300),
    "float": st.floats(width=32),
    "double": st.floats(),
    "string": st.text() | st.text(min_size=120, max_size=140),
}
TAKES = {"int": {"int32", "int64"}, "float": {"float", "double"}, "string": {"string"}}


def scalar(name: str, value: Any) -> bytes:
    return bytes(Value(**{f"{name}_val": value}).SerializeToString())


def listed(name: str, values: list[Any]) -> bytes:
    value = Value()
    getattr(value, f"{name}_list_val").SetInParent()
    getattr(value, f"{name}_list_val").val.extend(values)
    return bytes(value.SerializeToString())


def unpacked(values: list[int]) -> bytes:
    """An unpacked int64 list, a tag before each number, which protobuf accepts as well."""
    inside = b"".join(b"\x08" + scalar("int64", value)[1:] for value in values if value)
    return b"\x72" + Value(string_val="x" * len(inside)).SerializeToString()[1 : -len(inside) or None] + inside


CANONICAL = st.lists(SCALARS["int64"], max_size=40).map(lambda values: listed("int64", values))
ONE = st.one_of(
    *(values.map(lambda v, n=name: scalar(n, v)) for name, values in SCALARS.items()),
    *(st.lists(values, max_size=5).map(lambda v, n=name: listed(n, v)) for name, values in SCALARS.items()),
    st.lists(st.integers(1, 2**40), min_size=1, max_size=5).map(unpacked),
    st.builds(lambda flag: scalar("bool", flag), st.booleans()),
    st.builds(lambda data: scalar("bytes", data), st.binary()),
    CANONICAL,
    st.just(b""),
    st.none(),
)
MERGED = st.builds(lambda left, right: (left or b"") + (right or b""), ONE, ONE)
"""Serialized values: protobuf takes the last field of a oneof, and concatenates two lists of one field."""
BATCH = st.lists(CANONICAL, max_size=6) | st.lists(ONE, max_size=6) | st.lists(CANONICAL | MERGED, max_size=6)


def feasts(value: bytes | None, kind: str, suffix: str) -> Any:
    """The value decoded by Feast's SDK; None if it is of another kind."""
    message = Value.FromString(value or b"")
    if message.WhichOneof("val") not in {f"{name}{suffix}" for name in TAKES[kind]}:
        return None
    return feast_value_type_to_python_type(message)


@settings(deadline=None)  # the first call compiles
@given(BATCH, st.sampled_from(["int", "float", "string"]))
def test_scalars_are_feasts(values: list[bytes | None], kind: str) -> None:
    got = DECODER.scalars(values, kind)
    expected = [feasts(value, kind, "_val") for value in values]
    assert (got.shape, got.dtype) == ((len(values), 1), np.dtype(DTYPES[kind]))
    filled = [MISSING[kind] if value is None else value for value in expected]
    np.testing.assert_array_equal(got[:, 0], np.array(filled, dtype=DTYPES[kind]))


@settings(deadline=None)  # the first call compiles
@given(BATCH, st.sampled_from(["int", "float", "string"]), st.none() | st.integers(1, 5))
def test_lists_are_feasts(values: list[bytes | None], kind: str, most: int | None) -> None:
    got = DECODER.lists(values, kind, most)
    expected = [(feasts(value, kind, "_list_val") or [])[:most] for value in values]
    width = max([1, *map(len, expected)])
    assert (got.shape, got.dtype) == ((len(values), width), np.dtype(DTYPES[kind]))
    for row, items in zip(got, expected, strict=True):
        filled = items + [MISSING[kind]] * (width - len(items))
        np.testing.assert_array_equal(row, np.array(filled, dtype=DTYPES[kind]))


def joined(values: list[bytes]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The bytes of all values, and where each ends."""
    return np.frombuffer(b"".join(values), np.uint8), np.cumsum([len(value) for value in values])


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.lists(SCALARS["int64"], max_size=300), min_size=1, max_size=5))
def test_what_feast_writes_needs_no_parser(lists: list[list[int]]) -> None:
    got = int_lists(*joined([listed("int64", values) for values in lists]), 300, -5)
    expected = [values + [-5] * (got.shape[1] - len(values)) for values in lists]
    assert got.tolist() == expected


@pytest.mark.parametrize(
    "values",
    [
        [scalar("int64", 3)],
        [listed("int32", [3])],
        [listed("int64", [3]), unpacked([3, 4])],
        [listed("int64", [3]) * 2],
        [listed("int64", [3]), listed("int64", [3])[:-1]],
        [listed("int64", [2**40])[:-1] + b"\x80"],
        [b"\x72\x0e\x0a\x0c" + b"\x80" * 11 + b"\x00"],
        [b"\x72" + b"\xff" * 9 + b"\x01"],
        [b"\x72\x03\x0a\x07\x01"],
    ],
)
def test_other_values_are_left_to_the_parser(values: list[bytes]) -> None:
    assert int_lists(*joined(values), 10, 0).shape == (0, 0)


WHOLE = st.lists(SCALARS["int64"], max_size=4).map(lambda values: listed("int64", values))


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A value with bytes changed, cut off or added, also from other values."""
    value = bytearray(draw(WHOLE) + draw(st.sampled_from([b"", b"\x72\x03"]) | WHOLE))
    for _ in range(draw(st.integers(0, 2))):
        value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value[: draw(st.integers(1, len(value)))])


@settings(deadline=None, max_examples=500)
@given(st.lists(WHOLE, max_size=2), damaged(), st.lists(WHOLE, max_size=2))
def test_a_damaged_value_changes_no_other(before: list[bytes], value: bytes, after: list[bytes]) -> None:
    """What is read of the others is theirs, or nothing is read: whoever asks then reads them one by one."""
    try:
        got = DECODER.lists([*before, value, *after], "int")
    except FeatureStoreError:
        return
    places = [*range(len(before)), *range(len(before) + 1, len(got))]
    for place, own in zip(places, [*before, *after], strict=True):
        expected = feasts(own, "int", "_list_val") or []
        assert got[place].tolist() == expected + [MISSING["int"]] * (got.shape[1] - len(expected))


def test_a_value_that_swallows_its_neighbour_is_none() -> None:
    """A whole value and a head that announces as many bytes as the next value has."""
    neighbour = listed("int64", [7])
    value = listed("int64", [1]) + b"\x72" + bytes([2 + len(neighbour)]) + b"\x0a" + bytes([len(neighbour)])
    assert int_lists(*joined([value, neighbour, listed("int64", [9])]), 10, 0).shape == (0, 0)


def test_a_broken_value_is_protobufs_error() -> None:
    with pytest.raises(FeatureStoreError, match="a damaged value"):
        DECODER.lists([listed("int64", [3]), b"\x72\x03\x0a\x07\x01"], "int")
