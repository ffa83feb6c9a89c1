"""What `TritonServer` gives to the process that it starts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.server import server as server_module
from cascade.ensemble.server.server import TritonServer


@pytest.mark.parametrize("redis", [None, "cache:6380,password=S3cret"])
def test_the_store_s_password_reaches_the_models_by_the_environment(tmp_path: Path, redis: str | None) -> None:
    process = TritonServer(tmp_path, "shop", feature_repo=tmp_path, redis=redis)._process(ensemble=False)
    assert process._environment.get("CASCADE_FEATURE_STORE__REDIS") == redis
    assert process._environment["CASCADE_FEATURE_REPO"] == str(tmp_path)
    assert not any("S3cret" in argument for argument in process._arguments)


def test_an_error_of_any_kind_in_a_reload_is_a_failed_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(*_: Any) -> None:
        raise IndexError("list index out of range")

    server: Any = TritonServer(tmp_path, "shop", feature_repo=tmp_path)
    session = SimpleNamespace(ready=lambda: True, answers=lambda: True, pids=lambda: [1])
    server._supervisor = SimpleNamespace(session=session, restarted=0, replaced=0)
    server._live = SimpleNamespace(full_config=tmp_path / "config.pbtxt")
    server._switch = SimpleNamespace(fits=fits)
    server.status_file = tmp_path / "no such folder" / "status"  # as where /dev/shm is full
    monkeypatch.setattr(server_module, "check_backends", lambda *_: None)
    monkeypatch.setattr(server_module, "assemble_runtime", lambda: SimpleNamespace(backends=tmp_path))
    with pytest.raises(ServerError, match="list index out of range"):
        server.reload()
    assert server.counts()["reload_failures"] == 1 and server.counts()["reloads"] == 0


def test_while_no_process_answers_only_a_release_that_they_hold_can_be_taken(tmp_path: Path, monkeypatch: Any) -> None:
    """So a rollback works where the promoted release ends every process, and nothing is called live that is not."""
    restored = {tmp_path / "before": "before", tmp_path / "new": None}
    server: Any = TritonServer(tmp_path, "shop", feature_repo=tmp_path)
    session = SimpleNamespace(ready=lambda: False, answers=lambda: False, pids=lambda: [1])
    server._supervisor = SimpleNamespace(session=session, restarted=0, replaced=0)
    server._switch = SimpleNamespace(restored=restored.get)
    server.release, server.status_file = "bad", tmp_path / "status"
    monkeypatch.setattr(server_module, "check_backends", lambda *_: None)
    monkeypatch.setattr(server_module, "assemble_runtime", lambda: SimpleNamespace(backends=tmp_path))
    with pytest.raises(ServerError, match="does not answer just now"):
        server.reload(tmp_path / "new")
    assert server.release == "bad"
    server.reload(tmp_path / "before")
    assert server.release == "before"


def test_processes_are_started_together_where_the_disk_is_full(tmp_path: Path, caplog: Any) -> None:
    def leave_one() -> None:
        raise OSError(28, "No space left on device")

    server: Any = TritonServer(tmp_path, "shop", feature_repo=tmp_path)
    server._live = SimpleNamespace(leave_one=leave_one)
    server._leave_one()
    assert "all processes are started together: [Errno 28] No space left on device" in caplog.text
