"""Who was in which arm at any time, as the audit log says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...ensemble.protocol.assignment import Assignment
from ..releases.audit_log import Action, AuditLine
from ..releases.live_set import INTERRUPTED, Arm

REFRESH: Action = "refresh"


@dataclass(frozen=True)
class Window:
    """A time in which the stable release, the arms and their shares were the same, but for their items."""

    start_us: int
    """Microseconds since 1970."""
    end_us: int | None
    """None if it still lasts."""
    generation: int
    """Of the live set at its start."""
    stable: str
    """Id of the release, the last one if it was refreshed; so of the arms."""
    arms: tuple[Arm, ...]
    salt: str
    """Empty without arms."""

    @property
    def assignment(self) -> Assignment:
        """Who is in which arm; only of a window with arms."""
        return Assignment(self.salt, [(arm.name, arm.share) for arm in self.arms])


def windows_of(lines: Sequence[AuditLine]) -> list[Window]:
    """The windows of a history, oldest first. A change that never was live makes none, nor does a refresh of all arms:
    they got the same items at the same time."""
    changes: list[AuditLine] = []
    for line in lines:
        if line.action == INTERRUPTED and changes and changes[-1].action != INTERRUPTED:
            changes.pop()
        changes.append(line)
    starts: list[Window] = []
    for line in changes:
        window = _begun(line)
        if line.action == REFRESH and starts and window.salt and _users(starts[-1]) == _users(window):
            starts[-1] = replace(starts[-1], stable=window.stable, arms=window.arms)
        elif not starts or _content(starts[-1]) != _content(window):
            starts.append(window)
    ends = (window.start_us for window in starts[1:])
    return [replace(window, end_us=end) for window, end in zip_longest(starts, ends)]


def window_at(windows: Sequence[Window], times_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """The index of the window of each time; -1 before the first."""
    starts = np.array([window.start_us for window in windows], np.int64)
    return np.searchsorted(starts, times_us, side="right") - 1


def experiment_start(windows: Sequence[Window], window: Window) -> Window:
    """The first window of the experiment of ``window``: that with the same salt, and so the same users in its arms."""
    return next(each for each in windows if each.salt == window.salt)


def _begun(line: AuditLine) -> Window:
    live: dict[str, Any] = dict(line.new or {})
    arms = tuple(Arm(**arm) for arm in live.get("arms", ()))
    salt = live.get("salt", "") if arms else ""
    if not salt:  # of an earlier version of this package, which did not log it: nobody's arm can be told
        arms = ()
    start = round(datetime.fromisoformat(line.time).timestamp() * 1e6)
    return Window(start, None, line.generation, live.get("stable", ""), arms, salt)


def _users(window: Window) -> tuple[Any, ...]:
    """What tells the arm of each user."""
    return window.salt, [(arm.name, arm.share) for arm in window.arms]


def _content(window: Window) -> tuple[Any, ...]:
    return window.stable, window.arms, window.salt
