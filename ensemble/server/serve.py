"""`cascade serve`: a server in the foreground, until a signal stops it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

from ...core.errors import CascadeError
from ..config import ServerConfig
from .server import TritonServer


def serve(config: ServerConfig, *, repository: Path, model: str, feature_repo: Path, redis: str | None = None) -> None:
    """Serve until SIGINT or SIGTERM. Prints one line to stdout when ready; the server's log goes to stderr.

    The arguments are those of `TritonServer`.

    Raises:
        ServerError: if the server cannot be started or ends by itself.
    """
    stop = threading.Event()
    with _stop_signals(stop):
        server = TritonServer(repository, model, feature_repo=feature_repo, redis=redis, config=config, cancelled=stop)
        try:
            with server:
                print(
                    f"ready: model {model}, release {server.release}, grpc {server.grpc_url}, http {server.http_url}, "
                    f"metrics {server.metrics_url}",
                    flush=True,
                )
                server.wait(stop)
        except CascadeError:
            if not stop.is_set():
                raise


@contextlib.contextmanager
def _stop_signals(stop: threading.Event) -> Iterator[None]:
    """Within the context, SIGINT and SIGTERM set ``stop``."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
