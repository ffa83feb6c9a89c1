"""When a session has to be replaced by another tritonserver."""

import os
import threading
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
