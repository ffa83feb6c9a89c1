"""Shared memory that a killed owner leaves goes at the next start; that of a living one stays."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from waiting import HANG_S

from cascade.ensemble.server import shared_memory
from cascade.ensemble.server.runtime import STUB

OWNER = """
import sys
from pathlib import Path
from cascade.ensemble.server import shared_memory

shared_memory.FOLDER = Path(sys.argv[1])
prefix = shared_memory.new_prefix()
shared_memory.claim(prefix)
(shared_memory.FOLDER / f"{prefix}region").touch()
print(prefix, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path)
    return tmp_path


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_regions_stay_as_long_as_their_owner_lives(folder: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        prefix = owner.stdout.readline().strip()
        (folder / "somebody_else_s").touch()
        own = shared_memory.new_prefix()
        shared_memory.claim(own)
        assert names(folder) == {f"{prefix}region", f"{prefix}lock", f"{own}lock", "somebody_else_s"}
        owner.kill()
        owner.wait()
    shared_memory.remove_orphans()
    assert names(folder) == {f"{own}lock", "somebody_else_s"}
    shared_memory.remove_all(own)
    assert names(folder) == {"somebody_else_s"}


def test_a_stub_of_a_killed_server_is_ended(folder: Path, tmp_path: Path) -> None:
    stub, model = tmp_path / STUB, tmp_path / "model.py"
    stub.symlink_to(sys.executable)
    model.write_text("import time; time.sleep(900)")
    left, own = "cascade_999999_ab_", shared_memory.new_prefix()
    shared_memory.claim(own)
    (folder / f"{left}lock").touch()
    with subprocess.Popen([stub, model, f"{left}0"]) as orphan, subprocess.Popen([stub, model, f"{own}0"]) as other:
        shared_memory.remove_orphans()
        assert orphan.wait(HANG_S) == -signal.SIGKILL and other.poll() is None
        other.kill()
    shared_memory.remove_all(own)


def test_what_is_claimed_twice_and_given_back(folder: Path) -> None:
    for _ in range(2):  # a server that is started again
        shared_memory.claim("cascade_1_ab_")
        shared_memory.remove_orphans()
        assert names(folder) == {"cascade_1_ab_lock"}
        shared_memory.remove_all("cascade_1_ab_")
        assert names(folder) == set()


@pytest.mark.parametrize("runs_since", [None, "before", "after"])
def test_folders_that_killed_servers_leave_in_tmp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_since: str | None
) -> None:
    """One that a running server may have made stays."""
    monkeypatch.setattr(shared_memory, "TEMPORARY", tmp_path)
    for name in ("python_env_empty", "python_env_used", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "python_env_used" / "file").touch()
    made = (tmp_path / "python_env_empty").stat().st_ctime
    servers = {None: [], "before": [made - 1], "after": [made + 1]}[runs_since]
    found = [SimpleNamespace(info={"name": "tritonserver", "create_time": at}) for at in servers]
    found.append(SimpleNamespace(info={"name": "bash", "create_time": 0.0}))
    monkeypatch.setattr(psutil, "process_iter", lambda _: iter(found))
    shared_memory.remove_empty_folders()
    left = {"python_env_used", "other"} | ({"python_env_empty"} if runs_since == "before" else set())
    assert names(tmp_path) == left
