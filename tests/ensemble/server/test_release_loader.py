"""What becomes of a reload, with a stand-in for the processes; tests/integration reloads a real server."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.server import release_loader as loader_module
from cascade.ensemble.server.release_loader import ReleaseLoader
from cascade.ensemble.server.releases.reload_record import ReloadRecord


@pytest.fixture
def loader_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """``loader_of(switch, answers)``: a loader, and its record."""

    def make(switch: Any, answers: bool) -> tuple[ReleaseLoader, ReloadRecord]:
        supervisor: Any = SimpleNamespace(session=SimpleNamespace(answers=lambda: answers))
        live: Any = SimpleNamespace(full_config=tmp_path / "config.pbtxt")
        record = ReloadRecord()
        return ReleaseLoader("shop", live, switch, lambda: supervisor, threading.Lock(), record), record

    monkeypatch.setattr(loader_module, "check_backends", lambda *_: None)
    monkeypatch.setattr(loader_module, "assemble_runtime", lambda: SimpleNamespace(backends=tmp_path))
    return make


def test_an_error_of_any_kind_in_a_reload_is_a_failed_reload(loader_of, tmp_path: Path) -> None:
    def fits(*_: Any) -> None:
        raise IndexError("list index out of range")

    loader, record = loader_of(SimpleNamespace(fits=fits), answers=True)
    with pytest.raises(ServerError, match="list index out of range"):
        loader.reload(tmp_path)
    assert record.counts == {"reloads": 0, "reload_failures": 1}


def test_while_no_process_answers_only_a_release_that_they_hold_can_be_taken(loader_of, tmp_path: Path) -> None:
    """So a rollback works where the promoted release ends every process, and nothing is called live that is not."""
    restored = {tmp_path / "before": "before", tmp_path / "new": None}
    loader, record = loader_of(SimpleNamespace(restored=restored.get), answers=False)
    loader.release = "bad"
    with pytest.raises(ServerError, match="does not answer just now"):
        loader.reload(tmp_path / "new")
    assert loader.release == "bad"
    loader.reload(tmp_path / "before")
    assert loader.release == "before" and record.counts == {"reloads": 1, "reload_failures": 1}
