"""A connection to another release's server: what it sends and receives, and when nobody asks any more."""

from types import SimpleNamespace

import numpy as np
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import deserialize_bytes_tensor

from cascade.core.errors import ServerError
from cascade.ensemble.triton.arms.link import Link


class Triton:
    """In place of the client of a server that gives back what it gets."""

    def __init__(self):
        self.error = None

    def infer(self, model, inputs, client_timeout):
        if self.error:
            raise grpc.InferenceServerException(self.error)
        assert (model, client_timeout) == ("shop", 0.5)
        arrays = {tensor.name(): _array(tensor) for tensor in inputs}
        outputs = [SimpleNamespace(name=name) for name in arrays]
        return SimpleNamespace(get_response=lambda: SimpleNamespace(outputs=outputs), as_numpy=arrays.get)


def _array(tensor):
    dtype, raw = {"INT64": np.int64, "FP32": np.float32}.get(tensor.datatype()), tensor._get_content()
    flat = deserialize_bytes_tensor(raw) if dtype is None else np.frombuffer(raw, dtype)
    return flat.reshape(tensor.shape())


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def link(monkeypatch, clock):
    made = Triton()
    monkeypatch.setattr(grpc, "InferenceServerClient", lambda url, channel_args: made)
    found = Link("127.0.0.1:1", "shop", 0.5, lambda: clock.now)
    found.triton = made
    return found


def test_columns_arrive_as_they_were_sent(link):
    text = np.array([["\u00fc"], [None], [""]], dtype=object)
    numbers, scores = np.array([[1, 2], [3, -4], [5, 6]], np.int64)[:, ::-1], np.ones((3, 2), np.float32)
    answer = link.ask({"user_id": text, "n": numbers, "s": scores})
    assert answer["user_id"].tolist() == text.tolist()
    assert answer["n"].tolist() == numbers.tolist() and answer["s"].dtype == np.float32


def test_after_failures_nobody_asks_for_twice_as_long_each_time(link, clock):
    link.triton.error = "gone"
    for pause in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0):
        assert not link.closed
        with pytest.raises(ServerError, match="gone"):
            link.ask({})
        with pytest.raises(ServerError):  # one that was under way as well does not count again
            link.ask({})
        clock.now += pause * 0.99
        assert link.closed
        clock.now += pause * 0.02
    link.triton.error = None
    link.ask({})
    link.triton.error = "gone"
    with pytest.raises(ServerError):
        link.ask({})
    clock.now += 0.101
    assert not link.closed


def test_a_call_on_a_connection_that_was_just_closed_has_failed_like_any_other(link, monkeypatch):
    def closed(*_, **__):
        raise ValueError("Cannot invoke RPC on closed channel!")

    monkeypatch.setattr(link.triton, "infer", closed)
    with pytest.raises(ServerError, match="closed channel"):
        link.ask({})
    assert link.closed
