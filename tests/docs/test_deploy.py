"""The systemd unit says what `cascade serve` means by its exit codes and signals."""

import re
import shutil
import subprocess

import pytest
from shipping import ROOT

from cascade.cli.main import CRASH, WRONG_INPUT

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


def test_reload_sends_the_signal_that_the_command_takes() -> None:
    assert settings()["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert re.fullmatch(r"\S+/cascade serve -c \S+", settings()["ExecStart"][0])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_it() -> None:
    done = subprocess.run(["systemd-analyze", "verify", UNIT], capture_output=True, text=True, check=False)
    # The program and the user need not exist where the tests run.
    wrong = [line for line in done.stderr.splitlines() if "cascade.service:" in line]
    assert not [line for line in wrong if "not executable" not in line and "No such" not in line]
