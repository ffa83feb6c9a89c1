"""A canary that grows step by step: a share of the users, looks at the gates, and the next share.

At every look one gate that fails ends the canary. A step whose gates all pass at its end is followed by the next one,
and the share 1 is a promotion. An inconclusive step holds: it goes on looking, however long it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..gates.verdict import GateReport, State

SHORT_S = 1.0
"""Longest time between two looks while the canary does not answer yet, seconds."""
SETTLE_S = 3.0
"""Seconds that the canary has to answer before a window begins: metrics come up to two seconds late, and would count
what was before."""

Outcome = Literal["promoted", "set", "rolled back", "held"]


@dataclass(frozen=True)
class RampPlan:
    """What was fixed before the first step."""

    shares: Sequence[float]
    """Ascending, above 0; 1 is a promotion."""
    every_s: float
    """Length of a step, seconds from when the canary answers."""
    look_s: float
    """Seconds between two looks."""
    start_s: float = 60.0
    """Seconds that running servers have to answer with the canary; one that takes longer ends it."""
    wait_s: float | None = None
    """Seconds that a step may hold after its end; None waits for as long as it takes."""

    def from_share(self, current: float) -> RampPlan:
        """The rest of the plan for a canary that has a share already: that one again, and then the larger ones."""
        return RampPlan([current, *(share for share in self.shares if share > current)], *self._rest)

    @property
    def _rest(self) -> tuple[float, float, float, float | None]:
        return self.every_s, self.look_s, self.start_s, self.wait_s


@dataclass(frozen=True)
class Look:
    """What was seen at a moment."""

    share: float
    seconds: float
    """Since the step's window began; 0 while the canary does not answer."""
    state: State
    text: str
    """Why, in one line."""


@dataclass(frozen=True)
class RampEnd:
    """How a ramp ended."""

    outcome: Outcome
    reason: str
    figures: Mapping[str, Any] | None = None
    """What the gates said last, as the audit log has it."""


class Canary(Protocol):
    """What a ramp does with a canary and learns of it, see `LiveCanary`."""

    def set_share(self, share: float, figures: Mapping[str, Any] | None) -> None:
        """Have it answer this share of the users."""
        ...

    def promote(self, figures: Mapping[str, Any] | None) -> str:
        """Make it the stable release. Returns why a server could not take it, empty if all did."""
        ...

    def stop(self, reason: str, figures: Mapping[str, Any] | None) -> None:
        """Have the stable release answer everybody."""
        ...

    def changed(self) -> RampEnd | None:
        """What others made of the canary since `set_share`; None if it is as it was."""
        ...

    def renewed(self) -> bool:
        """Whether it has got other items since `begin`, so that its figures have to begin anew."""
        ...

    def silent(self) -> str:
        """Why a running server does not answer with the canary; empty if all do."""
        ...

    def has_servers(self) -> bool:
        """Whether any server runs."""
        ...

    def begin(self) -> None:
        """Start a new window of figures."""
        ...

    def look(self) -> GateReport:
        """What the gates say of the window."""
        ...


class Ramp:
    """Takes a canary through its steps.

    Args:
        tell: called with each look.
        now: seconds of a clock that never goes back.
        sleep: waits for so many seconds.
    """

    def __init__(
        self,
        canary: Canary,
        plan: RampPlan,
        tell: Callable[[Look], None],
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._canary, self._plan, self._tell, self._now, self._sleep = canary, plan, tell, now, sleep
        self._figures: dict[str, Any] | None = None

    def run(self) -> RampEnd:
        """All steps. It ends with a promotion, with the last share below 1, or where the canary stops or holds.

        Raises:
            ReleaseError: the live set cannot be changed; what it says stays.
        """
        for share in self._plan.shares:
            if share >= 1:
                return self._promoted()
            self._canary.set_share(share, self._figures)
            if end := self._step(share):
                return end
        return RampEnd("set", "every step passed", self._figures)

    def _promoted(self) -> RampEnd:
        if end := self._canary.changed():
            return end
        if why := self._canary.promote(self._figures):
            return self._rolled_back(why)
        return RampEnd("promoted", "every step passed", self._figures)

    def _step(self, share: float) -> RampEnd | None:
        """One share; None if it passed."""
        return self._until_it_answers(share) or self._until_it_passes(share)

    def _until_it_answers(self, share: float) -> RampEnd | None:
        """Wait until the canary has answered for `SETTLE_S`, and begin a window."""
        began, silent_since, heard_since, told = self._now(), self._now(), None, ""
        while heard_since is None or self._now() - heard_since < SETTLE_S:
            self._sleep(min(self._plan.look_s, SHORT_S))
            if end := self._canary.changed():
                return end
            if not (why := self._canary.silent()):
                heard_since = self._now() if heard_since is None else heard_since
                continue
            heard_since = None
            if why != told:
                self._tell(Look(share, 0.0, "inconclusive", why))
            told = why
            if not self._canary.has_servers():
                silent_since = self._now()
            elif end := self._silent(why, silent_since):
                return end
            if self._held_too_long(began):
                return RampEnd("held", why, self._figures)
        self._canary.begin()
        return None

    def _until_it_passes(self, share: float) -> RampEnd | None:
        """Look at the figures until the step passes or ends otherwise."""
        began = heard = self._now()
        while True:
            self._sleep(self._plan.look_s)
            if end := self._canary.changed():
                return end
            if self._canary.renewed():
                if end := self._until_it_answers(share):
                    return end
                heard = self._now()
                continue
            report = self._canary.look()
            state, text, self._figures = report.state, reason_of(report), report.to_json()
            why = self._canary.silent()
            if why and state != "fail":
                state, text = "inconclusive", why
            seconds = self._now() - began
            self._tell(Look(share, seconds, state, text))
            if state == "fail":
                return self._rolled_back(text)
            if not why or not self._canary.has_servers():
                heard = self._now()
            elif end := self._silent(why, heard):
                return end
            if state == "pass" and seconds >= self._plan.every_s:
                return None
            if self._held_too_long(began):
                return RampEnd("held", text, self._figures)

    def _silent(self, why: str, since: float) -> RampEnd | None:
        """The end of a canary that a running server does not answer with for too long."""
        if self._now() - since < self._plan.start_s:
            return None
        return self._rolled_back(f"the canary did not answer for {self._plan.start_s:g} s: {why}")

    def _held_too_long(self, began: float) -> bool:
        wait_s = self._plan.wait_s
        return wait_s is not None and self._now() - began >= self._plan.every_s + wait_s

    def _rolled_back(self, why: str) -> RampEnd:
        self._canary.stop(why, self._figures)
        return RampEnd("rolled back", why, self._figures)


def reason_of(report: GateReport) -> str:
    """Why a report says what it says, in one line."""
    told = [f"{each.gate}: {each.text}" for each in report.verdicts if each.state == report.state]
    return f"{len(told)} gates pass" if report.state == "pass" else "; ".join(told)
