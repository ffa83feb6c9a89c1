"""Requests in JSON and in binary tensors, and what is wrong with them."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.utils import serialize_byte_tensor

from cascade.ensemble.gateway.datatypes import DATATYPES, pack
from cascade.ensemble.gateway.infer_request import MAX_JSON_BYTES, read_request
from cascade.ensemble.gateway.refusals import Refusal

INTEGERS = {
    f"{sign}INT{bits}": st.integers(0, 2**bits - 1) if sign else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "U")
    for bits in (8, 16, 32, 64)
}
ELEMENTS = {
    **INTEGERS,
    "BOOL": st.booleans(),
    "FP32": st.floats(width=32, allow_nan=False),
    "FP64": st.floats(allow_nan=False),
    "BYTES": st.text(),
}


def tensor(**changes):
    return {"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [[1]], **changes}


def read(request, tail=b"", **options):
    body = json.dumps(request).encode()
    return read_request(body + tail, len(body) if tail else None, **options)


def refusal(request, tail=b"", **options):
    with pytest.raises(Refusal) as refused:
        read(request, tail, **options)
    return refused.value


@given(st.sampled_from(sorted(ELEMENTS)).flatmap(lambda name: st.tuples(st.just(name), st.lists(ELEMENTS[name]))))
def test_values_are_packed_as_numpy_and_tritonclient_do(drawn):
    name, values = drawn
    raw = pack("x", DATATYPES[name], values)
    if name == "BYTES":
        assert raw == (serialize_byte_tensor(np.array(values, dtype=object)).item() if values else b"")
    else:
        numpy = {"BOOL": "bool", "FP32": "float32", "FP64": "float64"}.get(name, name.lower())
        assert raw == np.array(values, dtype=numpy).tobytes()


@pytest.mark.parametrize("name", sorted(INTEGERS))
def test_a_number_out_of_range_is_refused(name):
    bits = int(name.lstrip("UINT"))
    for value in (2**bits, -(2**bits), 2**70):
        with pytest.raises(Refusal, match=f"expected {name} values"):
            pack("x", DATATYPES[name], [value])


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("INT64", 1.5),
        ("INT64", True),
        ("INT64", "1"),
        ("INT64", None),
        ("INT64", {}),
        ("FP32", "1"),
        ("FP32", True),
        ("BOOL", 2),
        ("BOOL", "true"),
        ("BYTES", 1),
        ("BYTES", "\ud800"),
        ("FP16", 1.0),
    ],
)
def test_a_value_of_another_kind_is_refused(name, wrong):
    assert refusal({"inputs": [tensor(datatype=name, data=[wrong])]}).status == 400


@pytest.mark.parametrize("dim", [2**27, 2**40, 2**62, 2**63 - 1])
def test_nothing_is_allocated_for_a_shape_that_is_only_claimed(dim):
    for request, tail in [
        ({"inputs": [tensor(shape=[dim, 1])]}, b""),
        ({"inputs": [tensor(shape=[dim, dim])]}, b""),
        ({"inputs": [tensor(shape=[dim], parameters={"binary_data_size": 8})]}, b"12345678"),
        ({"inputs": [tensor(shape=[1], parameters={"binary_data_size": dim * 8})]}, b"12345678"),
        ({"inputs": [tensor(shape=[dim], datatype="BYTES", parameters={"binary_data_size": 8})]}, b"\4\0\0\0abcd"),
    ]:
        tracemalloc.start()
        try:
            assert refusal(request, tail).status == 400
            assert tracemalloc.get_traced_memory()[1] < 100_000
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"shape": [2**63]},
            r"input 'x': expected a shape of whole numbers from 0 to 2\^63 - 1, got 9223372036854775808",
        ),
        ({"shape": [-1]}, "got -1"),
        ({"shape": [1.0]}, r"got 1\.0"),
        ({"shape": [True]}, "got true"),
        ({"shape": [1] * 33}, "at most 32 whole numbers, got a list of 33"),
        ({"shape": None}, "expected a shape"),
        ({"shape": [0, 2**62], "data": []}, "numbers up to 1048576 beside a 0, got 4611686018427387904"),
        ({"datatype": "INT99"}, r'expected a datatype of .*BYTES, got "INT99"'),
        ({"name": ""}, r"inputs\[0\].name: expected a name of 1 to 1024 characters"),
        ({"name": "a" * 2000}, r"inputs\[0\].name"),
        ({"data": [1, 2]}, r"as many values in 'data' as shape \[1, 1\] has, got 2"),
        ({"data": [[1], 2]}, "got both side by side"),
        ({"data": 1}, "expected a list in 'data', got numbers"),
        ({"parameters": {"a": []}}, "parameters.a: expected a string, a number or a boolean, got a list of 0"),
        ({"parameters": {"a": 2**80}}, "got a number of more than 20 digits"),
        ({"parameters": {"binary_data_size": 1}}, "expected a binary_data_size of 0 to 0"),
    ],
)
def test_an_error_names_the_field_what_was_expected_and_what_came(changes, text):
    found = refusal({"inputs": [tensor(**changes)]})
    assert found.status == 400
    pytest.raises(Refusal, read, {"inputs": [tensor(**changes)]}).match(text)


def test_binary_tensors_are_cut_out_in_order():
    inputs = [tensor(name=name, parameters={"binary_data_size": 8}) for name in "ab"]
    assert read({"inputs": inputs}, b"A" * 8 + b"B" * 8).tensors == [b"A" * 8, b"B" * 8]
    assert "8 bytes more than its inputs" in refusal({"inputs": inputs[:1]}, b"A" * 16).text
    assert "0 to 4" in refusal({"inputs": inputs}, b"A" * 12).text


@pytest.mark.parametrize("length", [0, 10**6])
def test_the_length_of_the_json_lies_within_the_body(length):
    with pytest.raises(Refusal, match="Inference-Header-Content-Length: expected 1 to 2"):
        read_request(b"{}", length)


def test_json_that_is_too_large_or_no_json():
    for body in (b"", b"{", b"\xff", b'{"a": ' + b"9" * 5000 + b"}"):
        with pytest.raises(Refusal, match="failed to parse the request JSON buffer"):
            read_request(body, None)
    with pytest.raises(Refusal, match="send large tensors as binary data") as refused:
        read_request(b" " * (MAX_JSON_BYTES + 1), None)
    assert refused.value.status == 413


def test_shared_memory_is_used_only_where_the_config_says_so():
    parameters = {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    request = {"inputs": [tensor(parameters=parameters)]}
    assert refusal(request).status == 403
    assert refusal({"inputs": [tensor()], "outputs": [{"name": "y", "parameters": parameters}]}).status == 403
    assert not read(request, shared_memory=True).tensors


def test_what_triton_gets_is_written_anew():
    outputs = [{"name": "a", "parameters": {"binary_data": True}, "data": [1], "more": {}}, {"name": "b"}]
    request = {"id": "7", "inputs": [tensor(shape=[2], data=[[1], [2]])], "outputs": outputs, "else": 1}
    sent = read({**request, "parameters": {"priority": 1, "binary_data_output": True}})
    assert json.loads(sent.header) == {
        "id": "7",
        "parameters": {"priority": 1, "binary_data_output": True},
        "inputs": [{"name": "x", "datatype": "INT64", "shape": [2], "parameters": {"binary_data_size": 16}}],
        "outputs": [{"name": "a", "parameters": {"binary_data": True}}, {"name": "b", "parameters": {}}],
    }
    assert sent.body == sent.header + np.array([1, 2]).tobytes()


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"binary_data": 1}, "binary_data: expected true or false, got 1"),
        ({"classification": 1}, "classification: is not offered"),
        ({"a": float("nan")}, "a: expected a string, a number or a boolean, got NaN"),
        ({"a": None}, "got null"),
    ],
)
def test_parameters_of_outputs(parameters, text):
    pytest.raises(Refusal, read, {"inputs": [tensor()], "outputs": [{"name": "a", "parameters": parameters}]}).match(
        text
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"inputs": [' + b"7" * 5000 + b"]}", "a number has too many digits"),
        (b'{"inputs": "\xff"}', "expected UTF-8"),
        (b'{"inputs": ', "Expecting value"),
    ],
    ids=["digits", "encoding", "cut off"],
)
def test_what_is_no_json_is_told_in_words_of_json(body, text):
    with pytest.raises(Refusal, match=text) as refused:
        read_request(body, None)
    assert refused.value.status == 400 and "sys." not in refused.value.text


@pytest.mark.parametrize("name", ["priority", "timeout"])
def test_numbers_without_a_sign(name):
    assert refusal({"inputs": [tensor()], "parameters": {name: -1}}).status == 400


@pytest.mark.parametrize(
    "request_",
    [
        {"id": "a\0b", "inputs": [tensor()]},
        {"inputs": [tensor(name="x\0y")]},
        {"inputs": [tensor()], "outputs": [{"name": "y\0"}]},
        {"inputs": [tensor()], "parameters": {"a": "\0"}},
    ],
)
def test_text_with_a_zero_character_is_refused(request_):
    assert refusal(request_).status == 400
