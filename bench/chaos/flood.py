"""Sends malformed requests to a server while others ask it for recommendations."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ..memory import usage
from ..probe import processes
from .malformed import grpc_request, http_request

ANSWER_S = 3.0
"""How long an answer over gRPC is waited for, and a connection."""
QUIET_S = 0.5
"""After so long without a byte, no more answers come over a connection: many requests wait for the rest of them."""
IDLE = 0.02
"""Share of connections that are left open in the middle of a request, until the end of the flood."""
WARM_UP = 0.05
"""Share of the requests that are sent before memory is measured the first time."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LEAKS = re.compile(rb"Traceback|File \"|cascade_\d+_[0-9a-f]{8}_")
"""What no answer may hold: a traceback, or the name of a region of shared memory."""


@dataclass
class FloodResult:
    """What happened."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """HTTP status or gRPC code -> number; ``closed`` and ``silent`` where no answer came."""
    wrong: list[str] = field(default_factory=list)
    """Answers that must not be: a 5xx but 503, a traceback. With the number that makes the request again."""
    asked: int = 0
    """Valid requests that were sent beside them."""
    failed: list[str] = field(default_factory=list)
    """Of those, the errors."""
    before_mb: float = 0.0
    after_mb: float = 0.0
    """Memory of all processes of the server without mapped files."""


async def flood(
    http_url: str,
    grpc_url: str,
    pid: int,
    ask: Callable[[], None],
    *,
    requests: int,
    seed: int = 0,
    at_once: int = 64,
    every_s: float = 0.05,
    on_sent: Callable[[], None] = lambda: None,
) -> FloodResult:
    """Send ``requests`` malformed requests, half of them over HTTP and half over gRPC.

    Args:
        pid: whose descendants are the server's processes.
        ask: makes a valid request and raises if it is not answered; called in a thread every ``every_s`` seconds.
        at_once: connections that send at the same time.
        on_sent: called after each request.
    """
    import grpc

    result, place, done = FloodResult(), urlsplit(http_url), asyncio.Event()
    assert place.hostname is not None and place.port is not None

    async def beside() -> None:
        while not done.is_set():
            result.asked += 1
            try:
                await asyncio.to_thread(ask)
            except Exception as error:  # whatever it is, the request was not answered
                result.failed.append(f"{time.strftime('%H:%M:%S')} {error}")
            await asyncio.sleep(every_s)

    async with grpc.aio.insecure_channel(grpc_url) as channel:
        sender = _Sender(result, place.hostname, place.port, channel, seed)

        async def send(numbers: Iterator[int]) -> None:  # all senders draw from one
            for number in numbers:
                await sender.send(number)
                on_sent()

        asking = asyncio.create_task(beside())
        warm_up = int(WARM_UP * requests)
        for part in (range(warm_up), range(warm_up, requests)):
            numbers = iter(part)
            await asyncio.gather(*(send(numbers) for _ in range(at_once)))
            result.before_mb = result.before_mb or used_mb(pid)
        sender.close_idle()
        await asyncio.sleep(1)
        result.after_mb = used_mb(pid)
        done.set()
        await asking
    return result


def used_mb(pid: int) -> float:
    """Memory of a process and its descendants, without pages of mapped files, MB."""
    return sum(one.own for process in processes(pid) if (one := usage(process.pid)) is not None)


class _Sender:
    def __init__(self, result: FloodResult, host: str, port: int, channel: Any, seed: int) -> None:
        self.result, self.host, self.port, self.channel, self.seed = result, host, port, channel, seed
        self.idle: list[asyncio.StreamWriter] = []

    async def send(self, number: int) -> None:
        """Send the request of this number and record the answer."""
        rng = random.Random(f"{self.seed} {number}")
        self.result.sent += 1
        await (self._http(number, rng) if number % 2 else self._grpc(number, rng))

    def close_idle(self) -> None:
        for writer in self.idle:
            writer.close()
        self.idle.clear()

    async def _http(self, number: int, rng: random.Random) -> None:
        content = http_request(rng)
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(self.host, self.port), ANSWER_S)
        except OSError as error:  # also TimeoutError
            self.result.answers[type(error).__name__] += 1
            return
        if rng.random() < IDLE:
            writer.write(content[: rng.randint(0, 40)])
            self.idle.append(writer)
            self.result.answers["left open"] += 1
            return
        answer = b""
        try:
            writer.write(content)
            while part := await asyncio.wait_for(reader.read(2**16), QUIET_S):
                answer += part
        except OSError:  # also TimeoutError; what came until then counts
            pass
        finally:
            writer.close()
        statuses = [status.decode() for status in _STATUS.findall(answer)] or ["none"]
        self.result.answers.update(statuses)
        if any(status[0] == "5" and status != "503" for status in statuses) or _LEAKS.search(answer):
            self.result.wrong.append(f"HTTP request {number}: {answer[:500]!r}")

    async def _grpc(self, number: int, rng: random.Random) -> None:
        import grpc

        method, message = grpc_request(rng)
        try:
            await self.channel.unary_unary(method)(message, timeout=ANSWER_S)
            self.result.answers["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self.result.answers[error.code().name] += 1
            if _LEAKS.search((error.details() or "").encode()):
                self.result.wrong.append(f"gRPC request {number}: {error.details()}")


def as_text(result: FloodResult) -> str:
    """What happened, in a few lines."""
    answers = ", ".join(f"{name} {count:,}" for name, count in result.answers.most_common())
    lines = [
        f"{result.sent:,} malformed requests: {answers}",
        f"{len(result.wrong)} answers that should not be; {result.asked:,} valid requests beside them, "
        f"{len(result.failed)} failed",
        f"memory {result.before_mb:,.0f} MB before, {result.after_mb:,.0f} MB after",
    ]
    return "\n".join([*lines, *result.wrong[:10], *result.failed[:10]])
