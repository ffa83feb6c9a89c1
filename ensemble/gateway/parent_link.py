"""The gateway's end of the socket to its parent process."""

from __future__ import annotations

import asyncio
import socket

from .settings import ParentState, Settings

MAX_MESSAGE = 256 * 1024
STALE_S = 5.0
"""Seconds without a word from the parent after which its last one counts no longer."""


class ParentLink:
    """Receives what the parent says, and echoes it, which shows that the gateway is alive.

    Args:
        channel: a connected socket that keeps messages apart; the first message are the `Settings`.
    """

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._state, self._heard = ParentState(), 0.0
        self.ended = asyncio.Event()
        """Set when the parent has ended, or wants the gateway to."""

    def settings(self) -> Settings | None:
        """Wait for the settings, until this process is needed; None if the parent has ended."""
        message = self._channel.recv(MAX_MESSAGE)
        return Settings.unpacked(message) if message else None

    def listen(self) -> None:
        """From now on, take messages in the running event loop."""
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        self._channel.setblocking(False)
        loop.add_reader(self._channel, self._take)

    def ready(self) -> bool:
        """Whether the parent says so, and did lately."""
        return self._state.ready and asyncio.get_running_loop().time() - self._heard < STALE_S

    def metrics(self) -> str:
        return self._state.metrics

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            message = self._channel.recv(MAX_MESSAGE)
            if message:
                self._state, self._heard = ParentState.unpacked(message), loop.time()
                self._channel.send(b"alive")
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        loop.remove_reader(self._channel)
        self.ended.set()
