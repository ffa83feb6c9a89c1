"""The gateway process. Its parent hands over two listening sockets and, on standard input, a socket to itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys

import uvloop

from .api import Api
from .backend import Backend
from .connections import Connections, allowed_connections
from .counters import Counters
from .metrics import Metrics
from .parent_link import ParentLink
from .settings import HTTP_SOCKET, METRICS_SOCKET, Settings
from .upstream import Upstream

GRACE_S = 3.0
"""Seconds that requests in flight have when the gateway is stopped."""
_SCRAPERS = 64
_BACKLOG = 128


async def run(http: socket.socket, metrics: socket.socket, link: ParentLink, settings: Settings) -> None:
    """Serve until the parent ends, or SIGTERM comes."""
    counters = Counters()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, link.ended.set)

    triton = Upstream(f"{settings.sockets}/{HTTP_SOCKET}")
    backend = Backend(triton, settings.control_key)
    api = Api(settings, backend, counters, link.ready)
    exporter = Metrics(Upstream(f"{settings.sockets}/{METRICS_SOCKET}"), counters, backend, link.metrics)
    times = {"request_timeout_s": settings.request_timeout_s, "idle_timeout_s": settings.idle_timeout_s}
    counters.max_connections = allowed_connections(settings.max_connections)
    clients = Connections(
        api.handle, answer_refusal=api.refuse, counters=counters, limit=counters.max_connections, **times
    )
    scrapers = Connections(
        exporter.handle, answer_refusal=exporter.refuse, counters=Counters(), limit=_SCRAPERS, **times
    )
    counters.connections = clients.__len__
    listeners = [
        await loop.create_server(clients, sock=http, backlog=_BACKLOG),
        await loop.create_server(scrapers, sock=metrics, backlog=_BACKLOG),
    ]
    sweeps = [asyncio.create_task(each.end_slow()) for each in (clients, scrapers)]
    link.listen()
    await link.ended.wait()
    for listener in listeners:
        listener.close()
    for sweep in sweeps:
        sweep.cancel()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE_S + 1):
            await asyncio.gather(clients.shutdown(GRACE_S), scrapers.shutdown(GRACE_S))


def main() -> None:
    logging.basicConfig(level=logging.WARNING, format="gateway: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then ends this process
    http, metrics = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    link = ParentLink(socket.socket(fileno=0))
    if (settings := link.settings()) is not None:
        uvloop.run(run(http, metrics, link, settings))


if __name__ == "__main__":
    main()
