"""A constant rate of requests that goes on whatever happens, and a record of every answer."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

import numpy as np

from ...core.errors import CascadeError, ServerError
from ...ensemble.client import Client

Connect = Callable[[], AbstractContextManager[Callable[[Any], None]]]
"""Makes a client, as a function that asks for one user and raises a CascadeError if that fails."""

_WORKERS = 32
"""Requests that may be in flight at the same time."""
_CALL_S = 10.0
_READY_EVERY_S = 0.01
_READY_S = 0.5
_SILENT_S = 0.1
"""After so long without an answer, a server that calls itself ready is asked whether it answers."""


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
    false_ready: int
    """How often the server called itself ready and did not answer a request that was sent just then."""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of a server under load."""

    connect: Connect
    ready: Callable[[], bool]
    """Whether the server calls itself ready."""
    answers: Callable[[Any], bool]
    """Whether a request for one user is answered: sent once, over a connection of its own."""


def grpc_endpoint(url: str, model: str, ready: Callable[[], bool]) -> Endpoint:
    """A server's gRPC endpoint; ``ready`` says whether the server calls itself ready."""
    import tritonclient.grpc as triton

    def answers(user: Any) -> bool:
        given = triton.InferInput("user_id", [1, 1], _datatype(user))
        given.set_data_from_numpy(np.array([[user]], np.object_ if isinstance(user, str) else np.int64))
        with triton.InferenceServerClient(url) as client:
            try:
                client.infer(model, [given], client_timeout=_CALL_S)
            except triton.InferenceServerException:
                return False
        return True

    return Endpoint(over_grpc(url, model), ready, answers)


def http_endpoint(url: str, model: str) -> Endpoint:
    """A server's HTTP endpoint."""
    connect = over_http(url, model)

    def answers(user: Any) -> bool:
        with connect() as ask, suppress(ServerError):
            ask(user)
            return True
        return False

    return Endpoint(connect, lambda: _ready_over_http(url), answers)


def _datatype(user: Any) -> str:
    return "BYTES" if isinstance(user, str) else "INT64"


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
        body = {"inputs": [{"name": "user_id", "shape": [1, 1], "datatype": _datatype(user), "data": [[user]]}]}
        request = Request(f"{url}/v2/models/{model}/infer", json.dumps(body).encode())
        try:
            with urlopen(request, timeout=_CALL_S) as answer:
                answer.read()
        except (OSError, HTTPException) as error:
            raise ServerError(f"{url}: {error}") from error

    return lambda: nullcontext(ask)


def _ready_over_http(url: str) -> bool:
    try:
        with urlopen(f"{url}/v2/health/ready", timeout=_READY_S) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):
        return False


class SteadyLoad:
    """Threads that send ``rate`` requests a second; while no answer comes, another looks for a false sign of readiness.

    Args:
        endpoint: where the requests go.
        users: raw ids to ask for, in turn.
        rate: requests a second.
    """

    def __init__(self, endpoint: Endpoint, users: Sequence[Any], rate: float) -> None:
        self._endpoint, self._users, self._rate = endpoint, itertools.cycle(users), rate
        self._sent: list[Sent] = []
        self._open: dict[int, float] = {}
        self._false_ready: list[float] = []
        self._answered = time.monotonic()
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

    def sent(self, since: float) -> list[Sent]:
        """The requests that were sent after ``since`` and have ended, in no order."""
        return [one for one in list(self._sent) if one.at > since]

    def in_flight(self) -> int:
        return len(self._open)

    def noticed(self, start: float, in_flight: int) -> Noticed:
        """What clients have noticed since ``start``."""
        end = time.monotonic()
        since = [one for one in self._sent if one.done > start]
        times = sorted([start, *(one.done for one in since if not one.error), end])
        gap = max(after - before for before, after in itertools.pairwise(times))
        errors = [one.error for one in since if one.error]
        false_ready = sum(at > start for at in self._false_ready)
        return Noticed(gap, in_flight, len(errors), sorted(set(errors)), false_ready)

    def _ask(self) -> None:
        with self._endpoint.connect() as ask:
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
        done = time.monotonic()
        if not error:
            self._answered = done
        self._sent.append(Sent(start, done, error))

    def _watch(self) -> None:
        while not self._stop.wait(_READY_EVERY_S):
            at = time.monotonic()
            silent = at - self._answered > _SILENT_S
            if silent and self._endpoint.ready() and not self._endpoint.answers(next(self._users)):
                self._false_ready.append(at)
