"""A constant rate of requests that goes on whatever happens, and a record of every answer."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

from ...core.errors import CascadeError, ServerError
from ...ensemble.client import Client

Connect = Callable[[], AbstractContextManager[Callable[[Any], None]]]
"""Makes a client, as a function that asks for one user and raises a CascadeError if that fails."""

_WORKERS = 32
"""Requests that may be in flight at the same time."""
_CALL_S = 10.0
_READY_EVERY_S = 0.01
_READY_S = 0.5


@dataclass(frozen=True)
class Sent:
    """A request that has been answered or has failed; times in seconds of the monotonic clock."""

    at: float
    done: float
    error: str
    """Empty if it was answered."""


@dataclass(frozen=True)
class Noticed:
    """What clients noticed of a fault."""

    gap_s: float
    """Longest time without an answer."""
    in_flight: int
    """Requests without an answer at the moment of the fault."""
    failed: int
    errors: Sequence[str]
    """Different errors of those that failed."""
    ready_in_gap: int
    """How often the server called itself ready in the longest gap, if that is longer than a quarter of a second."""


def over_grpc(url: str, model: str) -> Connect:
    """Clients of a server's gRPC endpoint."""

    @contextmanager
    def connect() -> Iterator[Callable[[Any], None]]:
        with Client(url, model, _CALL_S) as client:

            def ask(user: Any) -> None:
                client.recommend([user])

            yield ask

    return connect


def over_http(url: str, model: str) -> Connect:
    """Clients of its HTTP endpoint, with a connection for each request."""

    def ask(user: Any) -> None:
        kind = "BYTES" if isinstance(user, str) else "INT64"
        body = {"inputs": [{"name": "user_id", "shape": [1, 1], "datatype": kind, "data": [[user]]}]}
        request = Request(f"{url}/v2/models/{model}/infer", json.dumps(body).encode())
        try:
            with urlopen(request, timeout=_CALL_S) as answer:
                answer.read()
        except (OSError, HTTPException) as error:
            raise ServerError(f"{url}: {error}") from error

    return lambda: nullcontext(ask)


def ready_over_http(url: str) -> Callable[[], bool]:
    """Whether the server calls itself ready over HTTP."""

    def ready() -> bool:
        try:
            with urlopen(f"{url}/v2/health/ready", timeout=_READY_S) as answer:
                return bool(answer.status == 200)
        except (OSError, HTTPException):
            return False

    return ready


class SteadyLoad:
    """Threads that send ``rate`` requests a second and ask a hundred times a second whether the server is ready.

    Args:
        connect: makes the client of a thread.
        users: raw ids to ask for, in turn.
        ready: whether the server calls itself ready.
        rate: requests a second.
    """

    def __init__(self, connect: Connect, users: Sequence[Any], ready: Callable[[], bool], rate: float) -> None:
        self._connect, self._users, self._ready, self._rate = connect, itertools.cycle(users), ready, rate
        self._sent: list[Sent] = []
        self._open: dict[int, float] = {}
        self._samples: list[float] = []
        self._next, self._lock, self._stop = time.monotonic(), threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(_WORKERS)]
        self._threads.append(threading.Thread(target=self._watch, daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def answers_since(self, start: float) -> int:
        """The number of answers to requests that were sent after ``start``."""
        return sum(not one.error and one.at > start for one in self._sent[-5000:])

    def in_flight(self) -> int:
        return len(self._open)

    def noticed(self, start: float, in_flight: int) -> Noticed:
        """What clients have noticed since ``start``."""
        end = time.monotonic()
        since = [one for one in self._sent if one.done > start]
        times = sorted([start, *(one.done for one in since if not one.error), end])
        gap, gap_start = max((after - before, before) for before, after in itertools.pairwise(times))
        failed = [one for one in since if one.error]
        inside = [at for at in self._samples if gap_start + 0.02 < at < gap_start + gap - 0.02]
        return Noticed(
            gap, in_flight, len(failed), sorted({one.error for one in failed}), len(inside) if gap > 0.25 else 0
        )

    def _ask(self) -> None:
        with self._connect() as ask:
            while not self._stop.is_set():
                with self._lock:
                    self._next = due = max(self._next + 1 / self._rate, time.monotonic() - 1)
                    user = next(self._users)
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    return
                self._one(ask, user)

    def _one(self, ask: Callable[[Any], None], user: Any) -> None:
        start = time.monotonic()
        me = threading.get_ident()
        self._open[me] = start
        error = ""
        try:
            ask(user)
        except CascadeError as raised:
            error = str(raised)
        del self._open[me]
        self._sent.append(Sent(start, time.monotonic(), error))

    def _watch(self) -> None:
        while not self._stop.wait(_READY_EVERY_S):
            at = time.monotonic()
            if self._ready():
                self._samples.append(at)
