"""When a session has to be replaced by another tritonserver."""

import os
import threading
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from cascade.ensemble.server.session import Session


@pytest.mark.parametrize(
    ("stuck", "any_well", "fault"),
    [
        (False, False, None),  # they are being replaced
        (True, True, None),  # the others answer
        (True, False, "no process is left, and none can be replaced"),
    ],
)
def test_one_without_a_process_that_cannot_get_any_is_at_fault(stuck: bool, any_well: bool, fault: str | None) -> None:
    process: Any = SimpleNamespace(end_cause=lambda: None, sockets_are_there=True)
    session = Session(process, SimpleNamespace(models=["shop"]), 1.0, threading.Lock())  # type: ignore[arg-type]
    session._pid = os.getpid()
    session.watchdog = SimpleNamespace(stuck=stuck, any_well=any_well)  # type: ignore[assignment]
    assert session.fault() == fault


def test_it_is_watched_only_when_its_http_endpoint_is_open_which_is_after_the_grpc_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process: Any = SimpleNamespace(end_cause=lambda: None, sockets_are_there=False, pid=os.getpid(), pulses="")
    waited = []

    def wait_until(done: Callable[[], bool], *what: str) -> None:
        waited.append(what)
        process.sockets_are_there = len(waited) == 2
        assert done()

    process.wait_until = wait_until
    control = SimpleNamespace(live=lambda: True, probe=lambda: "0123456789ab")
    watcher = SimpleNamespace(start=lambda: None, load_again=None, stuck=False, hung=False)
    for name in ("Watchdog", "Prober"):
        monkeypatch.setattr(f"cascade.ensemble.server.session.{name}", lambda *settings: watcher)
    session = Session(process, SimpleNamespace(model="shop"), 1.0, threading.Lock())  # type: ignore[arg-type]
    monkeypatch.setattr(session, "control", lambda *settings: nullcontext(control))
    session._watch(1.0)
    assert session.fault() is None
    process.sockets_are_there = False
    assert session.fault() == "the socket of tritonserver's HTTP endpoint was deleted"
