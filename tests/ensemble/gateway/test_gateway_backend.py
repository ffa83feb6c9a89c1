"""What the gateway says, and counts, when Triton does not answer."""

import asyncio
import contextlib

import pytest

from cascade.ensemble.gateway import backend
from cascade.ensemble.gateway.backend import Backend
from cascade.ensemble.gateway.counters import REASONS
from cascade.ensemble.gateway.refusals import Refusal
from cascade.ensemble.gateway.upstream import STARTING, Upstream

UNHEALTHY = b'{"error": "Failed to process the request(s), message: Stub process \'a_0\' is not healthy."}'


def refusal_of(socket, answer=None, timeout=None):
    """How a request is refused; ``answer`` is called with the writer of each connection, None if nobody listens."""

    async def ask():
        asked = Backend(Upstream(str(socket)), "key")
        if answer is None:
            return await asked.infer("/v2/models/a/infer", b"", {})
        async with await asyncio.start_unix_server(answer, socket):
            if timeout is None:
                return await asked.infer("/v2/models/a/infer", b"", {})
            return await asked.ask("GET", "/v2", timeout=timeout)

    with pytest.raises(Refusal) as refused:
        asyncio.run(ask())
    assert refused.value.reason in REASONS
    return refused.value


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(backend, "pauses", lambda: iter([0.0]))


async def closes(reader, writer):
    writer.close()


async def says_unhealthy(reader, writer):
    head = f"HTTP/1.1 500 Internal Server Error\r\nContent-Length: {len(UNHEALTHY)}\r\n\r\n"
    with contextlib.suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(head.encode() + UNHEALTHY)
    writer.close()


async def says_nothing(reader, writer):
    await reader.read()
    writer.close()


@pytest.mark.parametrize("answer", [None, closes])
def test_a_server_that_starts_or_has_died_is_no_overload(tmp_path, answer):
    refused = refusal_of(tmp_path / "triton", answer)
    assert (refused.status, refused.reason, refused.text) == (503, "starting", STARTING)


def test_an_instance_that_died_is_no_overload(tmp_path):
    refused = refusal_of(tmp_path / "triton", says_unhealthy)
    assert (refused.status, refused.reason) == (503, "starting") and "is not healthy" in refused.text


def test_no_answer_in_time_is_overload(tmp_path):
    refused = refusal_of(tmp_path / "triton", says_nothing, timeout=0.01)
    assert (refused.status, refused.reason) == (503, "overload")
