"""Values and text between Triton's wire format and the graph."""

import numpy as np
import pytest

from cascade.core.errors import RequestError
from cascade.ensemble.protocol.inputs import MISSING, Input
from cascade.ensemble.protocol.request_batching import RequestBatcher
from cascade.ensemble.protocol.wire import WireType, decode_text, encode_text, from_wire

INT32, INT64 = WireType("INT32", "int32"), WireType("INT64", "int64")
FLOAT, TEXT = WireType("FP32", "float32"), WireType("BYTES", "object")


@pytest.mark.parametrize(
    ("wire", "value", "got"),
    [
        (INT64, 7, 7),
        (INT64, "7", 7),
        (INT64, np.int64(7), 7),
        (INT32, 2**31 - 1, 2**31 - 1),
        (FLOAT, "0.5", 0.5),
        (FLOAT, 2, 2.0),
        (TEXT, "bücher", "bücher"),
        (TEXT, 42, "42"),
        (TEXT, 7.0, "7"),
        (TEXT, np.float32(0.1), "0.1"),
        (TEXT, True, "true"),
        (TEXT, np.bool_(False), "false"),
    ],
)
def test_a_value_is_converted_to_the_type_of_the_input(wire, value, got):
    assert wire.value("x", value) == got


@pytest.mark.parametrize(
    ("wire", "value"),
    [(INT64, 1.5), (INT64, "1.5"), (INT64, None), (INT32, 2**31), (INT64, float("nan")), (FLOAT, "a")],
)
def test_a_value_that_does_not_fit_names_the_input(wire, value):
    with pytest.raises(RequestError, match=rf"^hour: expected {wire.dtype}, got"):
        wire.value("hour", value)


def test_an_id_is_not_made_text():
    assert TEXT.identifier("user_id", "7") == "7" and INT64.identifier("user_id", "7") == 7
    with pytest.raises(RequestError, match="user_id: expected a string, as the ids of this model are text, got 7"):
        TEXT.identifier("user_id", 7)


def test_encode_keeps_rows():
    tensor = INT64.encode("ids", [[1, 2], [3, 4], [5, 6]], (3, 2))
    assert (tensor.name(), tensor.datatype(), tensor.shape()) == ("ids", "INT64", [3, 2])
    assert np.frombuffer(tensor._get_content(), np.int64).tolist() == [1, 2, 3, 4, 5, 6]


def test_encode_writes_text_as_utf8():
    content = TEXT.encode("ids", [["ü"], [7]], (2, 1))._get_content()
    assert content == b"\x02\x00\x00\x00\xc3\xbc\x01\x00\x00\x007"


def test_encode_takes_no_rows():
    assert INT64.encode("ids", [], (0, 1)).shape() == [0, 1]


def test_text_round_trip():
    text = np.array([["a", ""], ["ü", "日本"]], dtype=object)
    wire = encode_text(text)
    assert wire[1, 0] == "ü".encode()
    assert decode_text("x", wire).tolist() == text.tolist()


def test_text_that_is_not_utf8_names_the_input():
    with pytest.raises(RequestError, match="^user_id: expected UTF-8"):
        decode_text("user_id", np.array([[b"\xff\xfe"]], dtype=object))


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("float64", np.array([[1.0], [np.nan]])),
        ("int64", np.array([[1], [np.iinfo(np.int64).min]])),
        ("object", np.array([[b"a"], [b"\xff"]], dtype=object)),
    ],
)
def test_one_row_of_a_batch_may_be_missing(dtype, values):
    column, batcher = from_wire("x", values), RequestBatcher([Input("u", "int64", required=True), Input("x", dtype)], 9)
    if dtype != "int64":  # an integer that may not be missing may be any number
        with pytest.raises(RequestError, match="^x: expected a (number, got NaN|string, got None)"):
            batcher.check({"u": np.array([[1], [2]]), "x": column})
    batcher = RequestBatcher([Input("u", "int64", required=True), Input("x", dtype, missing=True)], 9)
    joined = batcher.accept({"u": np.array([[1], [2]]), "x": column})["x"]
    assert [value in (1, "a") for value in joined[:, 0].tolist()] == [True, False]
    np.testing.assert_equal(joined[1, 0], MISSING[dtype])


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_is_not_missing(value):
    with pytest.raises(RequestError, match="^x: expected a finite number, got -?inf"):
        Input("x", "float64", missing=True).check(from_wire("x", np.array([[1.0], [value]])))


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_a_narrow_float_is_the_number_that_it_is_written_as(kind):
    wide, text = WireType("FP64", "float64"), WireType("BYTES", "object")
    for written in (0.1, 0.7, -2.3):
        assert wide.value("price", kind(written)) == written
        assert text.value("size", kind(written)) == str(written)
    assert wide.value("price", kind(2048)) == 2048.0 and np.isnan(wide.value("price", kind("nan")))
    assert wide.value("price", np.float64(np.float32(0.1))) == 0.10000000149011612
