"""Connections of HTTP clients: how many there may be, and how long each may keep the server waiting."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import StreamReader, web
from aiohttp.web_protocol import RequestHandler
from yarl import URL

from .counters import Counters
from .refusals import RETRY_AFTER_S, Refusal

RESERVED_FILES = 256
"""Descriptors for everything else: Triton's connection, libraries, and connections that are just being refused."""
MOST_CONNECTIONS = 10_000
_SWEEP_S = 0.5
_BODY = b'{"error":"too many connections, ask again later"}'
_NO_ROOM = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n"
    b"Retry-After: %d\r\nContent-Length: %d\r\n\r\n%b" % (RETRY_AFTER_S, len(_BODY), _BODY)
)


def allowed_connections(configured: int | None) -> int:
    """As many connections as configured, or as the limit of open files allows; raises that limit first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else max(8, hard - RESERVED_FILES)
    return min(room, configured or MOST_CONNECTIONS)


class Connection(RequestHandler):
    """One connection. It is either worked for, or it waits for its client: to send a request, or to read an answer.

    Args:
        server: the `Connections` that it belongs to.
    """

    def __init__(self, server: Connections, **options: Any) -> None:
        super().__init__(server, **options)
        self._all = server
        self._idle, self._is_last = True, False
        self.body: StreamReader | None = None
        """Of the request that is being answered."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._all.admit(self):
            refused = cast(asyncio.Transport, transport)
            refused.write(_NO_ROOM)
            refused.close()
            return
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._all.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._idle:
            self._idle = False
            self._all.wait_for(self, idle=False)
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """The client sends nothing more; whether the connection stays open until it has its answers."""
        if not self._messages and (self.body is None or not self.body.is_eof()):
            return False
        self._is_last = True
        return True

    def received(self) -> None:
        """The request is complete, and the server is at work."""
        self._all.stop_waiting(self)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        self._all.wait_for(self, idle=False)
        try:
            return await super().finish_response(request, resp, start_time)
        finally:
            self.body, self._idle = None, not self._messages
            if self._is_last and not self._messages:
                self.close()
            self._all.wait_for(self, idle=self._idle)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, and errors of our own; of these, only the latter are logged."""
        if status >= 500 and not isinstance(exc, ConnectionError):  # that is a client that has gone
            self.log_exception("the gateway failed to answer a request", exc_info=exc)
            text = "internal error of the gateway; its log has the cause"
        else:
            text = "expected an HTTP request, got something else"
        response = self._all.answer_refusal(Refusal(500 if status >= 500 else 400, text))
        response.force_close()
        return response

    def abort(self) -> None:
        """End the connection at once, whatever has not been sent."""
        if self.transport is not None:
            self.transport.abort()


class Connections(web.Server):
    """All connections of an HTTP endpoint.

    If all places are taken, a new connection takes the place of the one that waits longest for its client. Thus idle
    or slow ones cannot shut others out.

    Args:
        handler: answers a request.
        answer_refusal: makes the response for what is not even a request.
        limit: largest number of connections.
        request_timeout_s: seconds that a client has to send a request, and to read an answer.
        idle_timeout_s: seconds that a connection may stay open without a request.
    """

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        *,
        answer_refusal: Callable[[Refusal], web.Response],
        counters: Counters,
        limit: int,
        request_timeout_s: float,
        idle_timeout_s: float,
    ) -> None:
        super().__init__(handler, request_factory=self._request)
        self.answer_refusal = answer_refusal
        self._counters = counters
        self._limit = limit
        self._request_timeout_s, self._idle_timeout_s = request_timeout_s, idle_timeout_s
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, tuple[float, bool]] = {}
        """Connection -> since when it waits for its client, and whether for a request to begin; longest first."""

    def __call__(self) -> RequestHandler:
        return Connection(
            self, loop=self._loop, access_log=None, auto_decompress=False, lingering_time=5.0, max_headers=100
        )

    def _request(self, message: Any, body: StreamReader, connection: Any, writer: Any, task: Any) -> web.BaseRequest:
        """A request. aiohttp's parser lets some through that have no target (``CONNECT`` alone): they get another one,
        which is answered as an unknown path."""
        connection.body = body
        try:
            return web.BaseRequest(message, body, connection, writer, task, self._loop)
        except (AttributeError, ValueError):
            message = message._replace(path="/", url=URL("/"))
            return web.BaseRequest(message, body, connection, writer, task, self._loop)

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for a new connection; makes room if one waits for its client."""
        if len(self._open) >= self._limit:
            self._counters.refused["connections"] += 1
            longest = next(iter(self._waiting), None)
            if longest is None:
                return False
            self.forget(longest)
            longest.abort()
        self._open.add(connection)
        self.wait_for(connection, idle=True)
        return True

    def forget(self, connection: Connection) -> None:
        self._open.discard(connection)
        self.stop_waiting(connection)

    def wait_for(self, connection: Connection, *, idle: bool) -> None:
        """From now on the connection waits for its client."""
        if connection in self._open:
            self._waiting.pop(connection, None)
            self._waiting[connection] = self._loop.time(), idle

    def stop_waiting(self, connection: Connection) -> None:
        self._waiting.pop(connection, None)

    async def end_slow(self) -> None:
        """End connections whose clients keep the server waiting for too long; runs until it is cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._loop.time()
            for connection, (since, idle) in list(self._waiting.items()):
                if now - since > (self._idle_timeout_s if idle else self._request_timeout_s):
                    self._counters.refused["slow"] += not idle
                    self.forget(connection)
                    connection.abort()
