"""HTTP requests to Triton over a Unix socket that no one else can open.

Triton's own HTTP endpoint is fast, and faulty. Here it gets only requests that the gateway has checked and written
itself: whole, with a length, never chunked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

MOST_CONNECTIONS = 128
"""Requests that Triton gets at a time; others wait for their turn."""
STARTING = "the model is being started or replaced, ask again in a moment"
_MOST_HEADER = 65_536


class NoUpstreamError(Exception):
    """Triton does not answer: it ends, is started again, or takes too long.

    Args:
        taken: whether it may have begun with the request, and ended because of it.
        reason: the word that the metrics have for it.
    """

    def __init__(self, text: str, *, taken: bool, reason: str) -> None:
        super().__init__(text)
        self.taken = taken
        self.reason = reason


@dataclass(frozen=True)
class Reply:
    """A response of Triton's."""

    status: int
    headers: Mapping[bytes, bytes]
    """Names are in lower case."""
    body: bytes


class Upstream:
    """Connections to Triton, which are used again and again.

    Args:
        socket: path of the Unix socket.
    """

    def __init__(self, socket: str) -> None:
        self._socket = socket
        self._idle: list[_Connection] = []
        self._turns = asyncio.Semaphore(MOST_CONNECTIONS)

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, timeout: float
    ) -> Reply:
        """Send a request and wait for its response.

        Args:
            path: percent-encoded.
            timeout: seconds.

        Raises:
            NoUpstreamError: if there is none.
        """
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"{method} {path} HTTP/1.1\r\nHost: triton\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode()
        connection = None
        try:
            async with asyncio.timeout(timeout), self._turns:
                connection = await self._connection()
                return await self._exchange(connection, head + body)
        except TimeoutError as error:
            text, taken = f"no answer within {timeout:.0f} s", connection is not None
            raise NoUpstreamError(text, taken=taken, reason="overload") from error
        except (OSError, ValueError) as error:
            raise NoUpstreamError(STARTING, taken=connection is not None, reason="starting") from error

    async def _exchange(self, connection: _Connection, request: bytes) -> Reply:
        try:
            reply = await connection.exchange(request)
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return reply

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
            connection.close()
        loop = asyncio.get_running_loop()
        _, made = await loop.create_unix_connection(_Connection, self._socket)
        return made

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


class _Connection(asyncio.Protocol):
    """One connection, which has one request at a time."""

    def __init__(self) -> None:
        self.open = False
        self._buffer = bytearray()
        self._head: tuple[int, dict[bytes, bytes], int, int] | None = None
        self._reply: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionResetError("Triton has closed the connection"))

    async def exchange(self, request: bytes) -> Reply:
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._reply is None or self._reply.done():
            self.close()
            return
        try:
            self._read(self._reply)
        except ValueError as error:
            self._reply.set_exception(error)

    def _read(self, reply: asyncio.Future[Reply]) -> None:
        if self._head is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                if len(self._buffer) > _MOST_HEADER:
                    raise ValueError("a response without end of its headers")
                return
            first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)
            }
            self._head = int(first.split()[1]), headers, end + 4, int(headers.get(b"content-length", b"0"))
        status, headers, start, length = self._head
        if len(self._buffer) >= start + length:
            body = bytes(self._buffer[start : start + length])
            self._buffer, self._head = bytearray(), None
            reply.set_result(Reply(status, headers, body))

    def close(self) -> None:
        if self.open:
            self.open = False
            self._transport.close()
