"""`cascade serve`: a server in the foreground, until a signal stops it."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from ...core.errors import CascadeError
from ...core.processes import raise_file_limit
from ..config import ServerConfig
from .ports import is_exposed
from .server import TritonServer

_log = logging.getLogger("cascade.serve")


class Attendant(Protocol):
    """What goes on beside a server while it runs."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def promote_published(self) -> None:
        """Have the server load what is published now; raises CascadeError if it cannot."""


def serve(
    config: ServerConfig,
    *,
    repository: Path,
    model: str,
    feature_repo: Path,
    attend: Callable[[TritonServer], Attendant],
    redis: str | None = None,
    first: Path | None = None,
) -> None:
    """Serve until SIGINT, or until SIGTERM and `ServerConfig.drain_s` seconds more.

    Prints one line to stdout when ready; the server's log goes to stderr. The process may then open as many files as
    the hard limit allows.

    SIGHUP has the server load what is published then. As a service of systemd (``Type=notify``), it says when it is
    ready and when it stops, and keeps the watchdog quiet for as long as it runs.

    Args:
        attend: makes what goes on beside the server. The other arguments are those of `TritonServer`.

    Raises:
        ServerError: if the server cannot be started.
        CrashError: if it ends by itself and is not started again.
    """
    raise_file_limit()
    stop, terminated, reload = threading.Event(), threading.Event(), threading.Event()
    with (
        _on_signals([stop], signal.SIGINT),
        _on_signals([terminated, stop], signal.SIGTERM),
        _on_signals([reload], signal.SIGHUP),
    ):
        server = TritonServer(
            repository,
            model,
            feature_repo=feature_repo,
            redis=redis,
            config=config,
            cancelled=stop,
            takes_hangup=True,
            first=first,
        )
        try:
            with server, attend(server) as attendant:
                print(
                    f"ready: model {model}, release {server.release}, grpc {server.grpc_url}, http {server.http_url}, "
                    f"metrics {server.metrics_url}",
                    flush=True,
                )
                tell_systemd("READY=1")
                if is_exposed(config):
                    _log.warning(
                        "other machines can reach this server: whoever does can ask, without encryption or passwords"
                    )
                try:
                    server.wait(stop, reload, heartbeat(), attendant.promote_published)
                finally:
                    tell_systemd("STOPPING=1")
                if terminated.is_set():
                    stop.clear()  # a second signal sets it again
                    server.drain(stop)
        except CascadeError:
            if not stop.is_set():
                raise


def tell_systemd(state: str) -> None:
    """Tell systemd how this service is, see sd_notify(3); nothing happens where it has not asked."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # an abstract one, without a file
        address = f"\0{address[1:]}"
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.settimeout(1.0)
        notify.sendto(state.encode(), address)


def heartbeat(clock: Callable[[], float] = time.monotonic) -> Callable[[], None]:
    """A function to be called often. It tells systemd's watchdog twice in its period that the process runs.

    Args:
        clock: seconds.
    """
    microseconds, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    asked = microseconds.isdecimal() and pid in ("", str(os.getpid()))
    period, due = float(microseconds) / 2e6 if asked else float("inf"), clock()

    def beat() -> None:
        nonlocal due
        if asked and clock() >= due:
            due = clock() + period
            tell_systemd("WATCHDOG=1")

    return beat


@contextlib.contextmanager
def _on_signals(events: Sequence[threading.Event], number: signal.Signals) -> Iterator[None]:
    """Within the context, this signal sets the ``events``.

    A thread sets them: a handler runs in the middle of anything, also of another handler that holds an event's lock,
    and would wait for that lock for ever.
    """
    came = queue.SimpleQueue[bool]()  # its put is reentrant

    def wait() -> None:
        while came.get():
            for event in events:
                event.set()

    thread = threading.Thread(target=wait, name=f"cascade-{number.name}", daemon=True)
    thread.start()
    before = signal.signal(number, lambda *_: came.put(True))
    try:
        yield
    finally:
        signal.signal(number, before)
        came.put(False)
        thread.join()
