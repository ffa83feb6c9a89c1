"""What `cascade serve` tells systemd, over a real socket."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import HANG_S

from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server import serve as serve_module
from cascade.ensemble.server.serve import _on_signals, heartbeat, serve, tell_systemd
from cascade.ensemble.server.server import TritonServer


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd listens on; NOTIFY_SOCKET names it."""
    name = str(tmp_path / "notify") if request.param == "file" else f"@cascade-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.setblocking(False)
        yield listener


def told(listener: socket.socket) -> list[str]:
    """The messages that have come since the last call."""
    messages = []
    while True:
        try:
            messages.append(listener.recv(1024).decode())
        except BlockingIOError:
            return messages


class OneRelease:
    """In place of `TritonServer`: ready at once, and stopped after three looks."""

    release, grpc_url, http_url, metrics_url = "abc", "grpc", "http", "metrics"

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __enter__(self) -> "OneRelease":
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait(self, stop: threading.Event, reload: threading.Event, alive: Any, load: Any) -> None:
        for _ in range(3):
            alive()


class Nobody:
    """Beside the server."""

    def __init__(self, server: Any) -> None: ...

    def __enter__(self) -> "Nobody":
        return self

    def __exit__(self, *_: object) -> None: ...

    def promote_published(self) -> None: ...


def test_ready_alive_and_stopping_are_told(
    systemd: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_module, "TritonServer", OneRelease)
    monkeypatch.setattr(serve_module, "raise_file_limit", lambda: None)
    serve(ServerConfig(), repository=tmp_path, model="shop", feature_repo=tmp_path, attend=Nobody)
    assert told(systemd) == ["READY=1", "STOPPING=1"]  # nobody has asked for a watchdog
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    serve(ServerConfig(), repository=tmp_path, model="shop", feature_repo=tmp_path, attend=Nobody)
    assert told(systemd) == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_the_watchdog_hears_twice_in_its_period(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    now = 100.0
    beat = heartbeat(lambda: now)
    heard = []
    for now in (100.0, 114.9, 115.0, 129.0, 131.0):  # noqa: B007
        beat()
        heard.append(told(systemd))
    assert heard == [["WATCHDOG=1"], [], ["WATCHDOG=1"], [], ["WATCHDOG=1"]]


def test_the_watchdog_of_another_process_hears_nothing(systemd: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    heartbeat()()
    assert told(systemd) == []


def test_nothing_happens_without_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    tell_systemd("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody listens"))
    tell_systemd("READY=1")


def test_a_long_reload_does_not_look_like_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server: Any = TritonServer(tmp_path, "shop", feature_repo=tmp_path)
    server._supervisor = SimpleNamespace(crash=None)
    stop, reload, loads, loaded = (threading.Event() for _ in range(4))
    looks_while_it_loads = 0

    def load() -> None:
        loads.set()
        assert loaded.wait(HANG_S)

    def alive() -> None:
        nonlocal looks_while_it_loads
        looks_while_it_loads += loads.is_set()
        if looks_while_it_loads == 3:
            stop.set()
            threading.Timer(0.2, loaded.set).start()

    reload.set()
    server.wait(stop, reload, alive, load)
    assert loaded.is_set()  # it does not stop in the middle of a reload
    assert looks_while_it_loads == 3


def test_a_signal_that_comes_while_an_event_s_lock_is_held_is_noticed() -> None:
    """A handler that waited for the lock would never end: it runs in the thread that holds it."""
    stop, reload = threading.Event(), threading.Event()
    with _on_signals([stop, reload], signal.SIGUSR1), _on_signals([reload, stop], signal.SIGUSR2):
        with stop._cond, reload._cond:
            for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR1):
                os.kill(os.getpid(), number)
        assert stop.wait(HANG_S) and reload.wait(HANG_S)
    assert not [thread for thread in threading.enumerate() if "SIGUSR" in thread.name]
