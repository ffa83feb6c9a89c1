"""What the outcomes of the users say of a canary, as a gate of its ramp."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..config import OutcomesConfig
from ..gates.verdict import GateVerdict, unknown
from ..releases.live_set import LiveSet, LiveSets
from ..statistics.decision import IDLE_S
from ..statistics.sequential import MIN_USERS
from .event_log import EventLog, events_of
from .experiment import idle, outcomes_of, verdict_of
from .windows import Window, windows_of

GATE = "outcomes"
ALPHA = 0.01
"""Of each step: those of the five steps of the usual ramp add up to 5 %."""


def outcome_verdicts(live_sets: LiveSets, live: LiveSet, config: OutcomesConfig) -> list[GateVerdict]:
    """One verdict, or none if no event was ever fed for this canary, whatever its share was.

    A canary passes if no metric is surely worse: it need not be better.
    """
    windows = windows_of(live_sets.history().lines)
    window = windows[-1] if windows else None
    if window is None or not window.arms or window.arms != live.arms:
        return []
    log = EventLog(live_sets)
    if not _fed(log, [each for each in windows if each.salt == window.salt]):
        return []
    found = outcomes_of(log, windows, window, config)
    idle_s = idle(log, window, found, time.time())
    verdict = verdict_of(window, 0, found, config, ALPHA, idle_s)
    users = {name: float(counts.users) for name, counts in found.counts.items()}
    if verdict.action == "stop":
        return [GateVerdict(GATE, "fail", verdict.reason, users)]
    if idle_s >= IDLE_S or min(users.values()) < MIN_USERS:
        return [unknown(GATE, verdict.reason, users)]
    return [GateVerdict(GATE, "pass", verdict.reason, users)]


def _fed(log: EventLog, windows: Sequence[Window]) -> bool:
    return any(len(log.read(("user",), events_of(window))) for window in windows)
