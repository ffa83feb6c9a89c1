"""The systemd unit says what `cascade serve` means by its exit codes and signals."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from shipping import ROOT

from cascade.cli.main import CRASH, TERMINATED, WRONG_INPUT
from cascade.ensemble.config import ExportConfig
from cascade.ensemble.server.releases.running_servers import LIVE
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features.connection import REGISTRY_FILE

UNIT = ROOT / "deploy" / "cascade.service"


def settings() -> dict[str, list[str]]:
    """Key -> its values, in order; systemd allows a key more than once."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if line and line[0] not in "#[":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def test_a_crash_is_started_again_and_a_mistake_is_not() -> None:
    unit = settings()
    assert unit["Restart"] == ["on-failure"] and unit["RestartPreventExitStatus"] == [str(WRONG_INPUT)]
    assert CRASH != WRONG_INPUT
    assert unit["OOMPolicy"] == ["continue"]  # else a model process that is killed for memory ends the server


def test_a_reload_reports_a_release_that_is_refused() -> None:
    """The signal alone would not: `cascade reload` waits, for the same configuration."""
    start, reload = settings()["ExecStart"][0], settings()["ExecReload"][0]
    assert re.fullmatch(r"\S+/cascade serve -c \S+", start)
    assert reload == start.replace(" serve ", " reload ")


def test_systemd_hears_what_the_command_tells() -> None:
    unit = settings()
    assert unit["Type"] == ["notify"] and int(unit["WatchdogSec"][0]) > 0
    assert unit["WatchdogSignal"] == ["SIGKILL"]  # a frozen process does not take any other
    assert unit["SuccessExitStatus"] == [str(TERMINATED)]


def test_code_and_releases_cannot_be_written_to() -> None:
    [folder] = settings()["WorkingDirectory"]
    writable = settings()["ReadWritePaths"][0].split()
    stores = (Path(FeatureStoreConfig().repo) / REGISTRY_FILE.parent, Path(ExportConfig().repository) / LIVE)
    assert writable == [f"{folder}/{store}" for store in stores]
    assert settings()["ExecStartPre"][0].split()[-1] == writable[-1]  # what does not exist cannot be made writable


def test_nothing_is_made_as_root_before_the_first_run() -> None:
    """`install -d` would make the folder above `.live`, too, and the user cascade could not publish there."""
    unit = settings()
    assert unit["ConditionPathExists"] == [str(Path(unit["ExecStartPre"][0].split()[-1]).parent)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_it() -> None:
    done = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True, check=False)
    # The program and the user need not exist where the tests run.
    wrong = [line for line in done.stderr.splitlines() if "cascade.service:" in line]
    assert not [line for line in wrong if "not executable" not in line and "No such" not in line]
