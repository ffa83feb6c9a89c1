"""Bad requests: one line of INVALID_ARGUMENT that names the input, and the next request works."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
import tritonclient.grpc as grpc
from waiting import HANG_S, wait_until

from cascade.core.errors import RequestError

TYPES = {"int64": "INT64", "int32": "INT32", "float32": "FP32", "float64": "FP64", "object": "BYTES"}


def tensor(name, array):
    made = grpc.InferInput(name, array.shape, TYPES[array.dtype.name])
    made.set_data_from_numpy(array)
    return made


def of(**inputs):
    """user_id 101 unless given, and these inputs: name -> (values, dtype)."""
    named = {"user_id": ([[101]], "int64"), **inputs}
    return [tensor(name, np.array(values, dtype=dtype)) for name, (values, dtype) in named.items()]


def truncated():
    made = tensor("user_id", np.array([[101]]))
    made._raw_content = b"abc"
    return [made]


def claims_more_rows():
    made = tensor("user_id", np.array([[101]]))
    made._input.shape[0] = -1
    return [made]


REFUSED = {
    "dtype": (lambda: of(user_id=([[101]], "int32")), "user_id"),
    "dtype, a number that is none": (lambda: of(user_id=([[np.nan]], "float64")), "user_id"),
    "dtype, text": (lambda: of(user_id=([[b"101"]], "object")), "user_id"),
    "shape, no batch": (lambda: of(user_id=([101], "int64")), "user_id"),
    "shape, two ids a row": (lambda: of(user_id=([[101, 102]], "int64")), "user_id"),
    "shape, rank 3": (lambda: of(user_id=([[[101]]], "int64")), "user_id"),
    "name": (lambda: [tensor("user", np.array([[101]]))], "'user'"),
    "one name too many": (lambda: of(age=([[30]], "int64")), "age"),
    "nothing": (lambda: [], "user_id"),
    "no users": (lambda: [tensor("user_id", np.zeros((0, 1), np.int64))], "user_id"),
    "100,000 users": (lambda: [tensor("user_id", np.ones((100_000, 1), np.int64))], "user_id"),
    "65 users of 64": (lambda: [tensor("user_id", np.ones((65, 1), np.int64))], "user_id"),
    "rows that differ": (lambda: of(user_id=([[101]] * 4, "int64"), top_k=([[1]] * 2, "int32")), "'"),
    "top_k, negative": (lambda: of(top_k=([[-1]], "int32")), "top_k"),
    "top_k, zero": (lambda: of(top_k=([[0]], "int32")), "top_k"),
    "top_k, above the candidates": (lambda: of(top_k=([[13]], "int32")), "top_k"),
    "top_k, one row of two": (lambda: of(user_id=([[101]] * 2, "int64"), top_k=([[3], [-3]], "int32")), "top_k"),
    "temperature, NaN": (lambda: of(temperature=([[np.nan]], "float32")), "temperature"),
    "temperature, infinite": (lambda: of(temperature=([[np.inf]], "float32")), "temperature"),
    "temperature, negative": (lambda: of(temperature=([[-1]], "float32")), "temperature"),
    "exclude_items, too many": (lambda: of(exclude_items=([[1] * 20_000], "int64")), "exclude_items"),
    "exclude_items, dtype": (lambda: of(exclude_items=([[b"a"]], "object")), "exclude_items"),
    "bytes, too few": (truncated, "user_id"),
    "shape, negative": (claims_more_rows, "user_id"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_refused_in_one_line_and_the_next_works(server, client, case):
    inputs, named = REFUSED[case]
    with grpc.InferenceServerClient(server.grpc_url) as raw, pytest.raises(grpc.InferenceServerException) as refused:
        raw.infer("cascade", inputs(), client_timeout=HANG_S)
    message = refused.value.message()
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
    assert named in message
    assert "\n" not in message and "Traceback" not in message
    assert len(client.recommend([101])[0].items) == 6


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"users": [1] * 100_000}, "^user_id: expected 1 to 64 users in one call, got 100000"),
        ({"users": ["Ann"]}, "^user_id: expected int64, got 'Ann'"),
        ({"top_k": -1}, "^top_k: expected 1 to 12, got -1"),
        ({"temperature": float("nan")}, "^temperature: expected a number, got NaN"),
        ({"context": {"weather": 1}}, "^context weather: expected one of hour"),
        ({"context": {"hour": "late"}}, "^hour: expected int64, got 'late'"),
        ({"context": {"top_k": 1}}, "^context top_k"),
        ({"exclude": ["a"]}, "^exclude: expected int64"),
    ],
)
def test_the_client_says_it_in_the_same_way(client, arguments, match):
    with pytest.raises(RequestError, match=match):
        client.recommend(**{"users": [101], **arguments})


def test_a_bad_request_in_a_crowd_hurts_nobody_else(server):
    inputs = [of(user_id=([[100 + at]], "int64"), top_k=([[-1 if at % 3 == 0 else 2]], "int32")) for at in range(20)]
    answers = []

    def keep(result, error):
        answers.append((result, error))

    with grpc.InferenceServerClient(server.grpc_url) as raw:
        for entry in inputs:
            raw.async_infer("cascade", entry, keep, client_timeout=HANG_S)
        wait_until(lambda: len(answers) == len(inputs))
    assert sum(error is None for _, error in answers) == 13
    assert all("top_k" in str(error) for _, error in answers if error is not None)


def test_http_answers_and_refuses_alike(server):
    def post(**inputs):
        kinds = {"user_id": "INT64", "top_k": "INT32"}
        body = [{"name": name, "shape": [1, 1], "datatype": kinds[name], "data": [v]} for name, v in inputs.items()]
        request = urllib.request.Request(
            f"{server.http_url}/v2/models/cascade/infer", json.dumps({"inputs": body}).encode()
        )
        with urllib.request.urlopen(request, timeout=HANG_S) as response:
            return {entry["name"]: entry["data"] for entry in json.load(response)["outputs"]}

    assert len(post(user_id=101, top_k=3)["item_ids"]) == 3
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(user_id=101, top_k=-1)
    assert refused.value.code == 400
    assert json.load(refused.value) == {"error": "top_k: expected 1 to 12, got -1"}
