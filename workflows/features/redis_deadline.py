"""Connections to Redis with a deadline for a whole reply.

redis-py's own time-out is for each read from the socket, so a reply that comes a byte at a time could take for ever.
"""

from __future__ import annotations

import socket
import time
from typing import Any


class DeadlineSocket:
    """A socket of which all reads together must end before ``deadline``, seconds of the monotonic clock.

    Everything else is the socket's own.
    """

    def __init__(self, own: socket.socket, timeout: float) -> None:
        self._own, self._timeout = own, own.gettimeout()
        self.deadline = time.monotonic() + timeout

    def settimeout(self, timeout: float | None) -> None:
        """As the socket's; 0 for reads that do not wait, to which the deadline does not apply."""
        self._timeout = timeout

    def recv(self, *arguments: Any) -> bytes:
        """As the socket's.

        Raises:
            TimeoutError: at the deadline.
        """
        self._limit()
        return self._own.recv(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        """As the socket's.

        Raises:
            TimeoutError: at the deadline.
        """
        self._limit()
        return self._own.recv_into(*arguments)

    def sendall(self, *arguments: Any) -> None:
        """As the socket's."""
        self._own.settimeout(self._timeout)
        self._own.sendall(*arguments)

    def _limit(self) -> None:
        """Have the next read end at the deadline."""
        limit = self._timeout
        if limit != 0:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no whole reply in time")
            limit = left if limit is None else min(limit, left)
        self._own.settimeout(limit)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def with_deadline(kind: type[Any]) -> type[Any]:
    """A class of redis-py's connections with one for connecting and one for each reply, both its ``socket_timeout``."""

    class DeadlineConnection(kind):
        def _connect(self) -> Any:
            return DeadlineSocket(super()._connect(), self.socket_timeout)

        def renew_deadline(self) -> None:
            """Begin a new one."""
            if self._sock is not None:
                self._sock.deadline = time.monotonic() + self.socket_timeout

    return DeadlineConnection
