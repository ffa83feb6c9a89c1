"""How soon the previous release answers after `cascade release rollback` is typed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...core.errors import ServerError
from ...core.text_table import table
from ...rollout.releases.live_set import LiveSets
from ..chaos.steady_load import SteadyLoad
from .checked_answers import CheckedClients
from .serve_process import MAIN
from .swap import errors_of, wait_until

MOST = 100
_PAUSE_S = 0.25


@dataclass(frozen=True)
class RollbackReport:
    """What clients noticed of rollbacks."""

    seconds: Sequence[float]
    """Of each: from the command to the first answer of the release."""
    errors: Mapping[str, int]
    """What failed -> how often; wrong answers are among it."""


def roll_back_often(
    sets: LiveSets,
    arguments: Sequence[str],
    clients: CheckedClients,
    load: SteadyLoad,
    times: int,
    on_step: Callable[[], None] = lambda: None,
) -> RollbackReport:
    """Run the command again and again under load.

    Args:
        sets: has a previous release, and a server of this machine follows it.
        arguments: of the command, after ``rollback``.
        times: at most `MOST` are done.

    Raises:
        ServerError: a command fails, or the release does not answer.
    """
    begun, seconds = time.monotonic(), []
    for _ in range(min(times, MOST)):
        release = previous_of(sets)
        start = time.monotonic()
        command = [sys.executable, "-c", MAIN, "release", "rollback", "--reason", "bench", *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            wait_until(partial(_answers_since, clients, release, start), f"release {release} answers")
            seconds.append(clients.last[release] - start)
            said, _ = process.communicate()
        if process.returncode:
            raise ServerError(f"`cascade release rollback` has failed: {said.strip()}")
        on_step()
        time.sleep(_PAUSE_S)
    return RollbackReport(seconds, errors_of(load.sent(begun)))


def rollbacks_text(report: RollbackReport) -> str:
    """The report in words and numbers."""
    seconds = report.seconds
    took = f"{np.median(seconds):.2f} / {max(seconds):.2f}"
    rows = [
        ("rollbacks by command", f"{len(seconds):,}"),
        ("from the command to the first answer, median / longest s", took),
        ("failed or wrong meanwhile", f"{sum(report.errors.values()):,}"),
    ]
    return table(("", ""), rows)


def previous_of(sets: LiveSets) -> str:
    """Id of the release that a rollback brings back."""
    live = sets.read()
    assert live is not None and live.previous is not None  # swaps were made before
    return live.previous


def _answers_since(clients: CheckedClients, release: str, at: float) -> bool:
    return clients.last.get(release, 0.0) > at
