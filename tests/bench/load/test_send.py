"""Our own load generator: its messages, its statistics, its clock."""

import asyncio
import time

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2 as pb

from cascade.bench.load.generator import Load
from cascade.bench.load.send import Record, Sender, serialize
from cascade.core.errors import ServerError

TYPES = {"user_id": "INT64", "temperature": "FP32", "top_k": "INT32"}
ENTRIES = [{"user_id": [n], "temperature": [0.5], "top_k": [n + 1]} for n in range(5)]


def by_triton(columns, types):
    """The same request, made by tritonclient."""
    inputs = []
    for name, array in columns.items():
        inputs.append(triton.InferInput(name, list(array.shape), types[name]))
        inputs[-1].set_data_from_numpy(array)
    from tritonclient.grpc._utils import _get_inference_request

    return _get_inference_request("cascade", inputs, "", "", None, 0, False, False, 0, None, None)


def test_messages_are_those_of_tritonclient():
    [first, second] = serialize(ENTRIES, "cascade", TYPES, batch=2)  # one entry is left over
    for message, rows in ((first, (0, 1)), (second, (2, 3))):
        columns = {
            "user_id": np.array([[n] for n in rows]),
            "temperature": np.full((2, 1), 0.5, np.float32),
            "top_k": np.array([[n + 1] for n in rows], np.int32),
        }
        assert pb.ModelInferRequest.FromString(message) == by_triton(columns, TYPES)


def test_text_is_serialized_as_by_tritonclient():
    [message] = serialize([{"user_id": ["añb"]}, {"user_id": ["c"]}], "cascade", {"user_id": "BYTES"}, batch=2)
    columns = {"user_id": np.array([["añb"], ["c"]], dtype=object)}
    assert pb.ModelInferRequest.FromString(message) == by_triton(columns, {"user_id": "BYTES"})


def test_a_model_without_batches_gets_the_given_shape():
    [message] = serialize([{"user_id": {"content": [7], "shape": [1]}}], "cascade", TYPES, batch=1)
    assert pb.ModelInferRequest.FromString(message) == by_triton({"user_id": np.array([7])}, TYPES)


def test_too_few_requests_are_an_error():
    with pytest.raises(ServerError, match="expected at least 8, the users of one request, got 5"):
        serialize(ENTRIES, "cascade", TYPES, batch=8)


def test_percentiles_and_rate_by_hand():
    record = Record([at / 1000 for at in range(1, 102)], in_time=100, errors=["first", "second"])  # 1 .. 101 ms
    result = record.result(Load("concurrency", 1, 1, seconds=4), cpu_s=0.1)
    assert (result.p50_ms, result.p95_ms, result.p99_ms) == pytest.approx((51, 96, 100))
    assert (result.requests_per_s, result.errors, result.error) == (25, 2, "first")


def test_without_answers_there_is_no_latency():
    result = Record(errors=["gone"]).result(Load("rate", 1, 1, 1), 0)
    assert (result.requests_per_s, result.p50_ms, result.p99_ms, result.errors) == (0, None, None, 1)


class Server:
    """Answers after ``seconds``, and records how many calls were open at the same time."""

    def __init__(self, seconds):
        self.seconds, self.open, self.most, self.calls = seconds, 0, 0, []

    async def __call__(self, message, timeout):
        self.open += 1
        self.most = max(self.most, self.open)
        self.calls.append(message)
        await asyncio.sleep(self.seconds)
        self.open -= 1


def test_the_closed_loop_keeps_the_number_of_requests_in_flight():
    server = Server(0.01)

    async def run():
        sender = Sender(server, [b"a", b"b", b"c"], seconds=0.2)
        await sender.closed_loop(5)
        return sender.record

    record = asyncio.run(run())
    assert server.most == 5 and server.open == 0
    assert server.calls[:6] == [b"a", b"b", b"c"] * 2
    assert len(record.latencies_s) == len(server.calls) and min(record.latencies_s) >= 0.01


def test_the_open_loop_does_not_wait_for_answers():
    server = Server(3)  # a closed loop with one request in flight would send only one

    async def run():
        sender = Sender(server, [b"a"], seconds=0.4)
        await sender.open_loop(100, np.random.default_rng(0))
        return sender.record

    record = asyncio.run(run())
    gaps = np.cumsum(np.random.default_rng(0).exponential(1 / 100, 200))
    due = int((gaps < 0.4).sum())
    assert abs(len(server.calls) - due) <= 1  # the sender's clock starts a little earlier
    assert server.most == len(server.calls) and record.in_time == 0


def test_latency_counts_from_when_a_request_was_due():
    """A generator that is late must count the delay (coordinated omission)."""

    async def run():
        sender = Sender(Server(0.0), [b"a"], seconds=5)
        await sender.send(since=time.perf_counter() - 2)
        return sender.record.latencies_s[0]

    assert asyncio.run(run()) >= 2
