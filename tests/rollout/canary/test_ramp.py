"""The steps of a canary, with a clock and figures that are made up."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cascade.rollout.canary.ramp import Look, Ramp, RampEnd, RampPlan
from cascade.rollout.gates.verdict import GateReport, GateVerdict

SHARES = (0.01, 0.05, 0.25, 0.5, 1.0)
PLAN = RampPlan(SHARES, every_s=600, look_s=10)


@dataclass
class Clock:
    """Time that passes only by sleeping."""

    seconds: float = 1e6

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.seconds += seconds


@dataclass
class Fake:
    """A canary whose gates and servers say what a test wants.

    ``state``: share and looks in this step -> what the gates say.
    """

    state: Callable[[float, int], str] = lambda share, looks: "pass"
    silence: Callable[[int], str] = lambda asked: ""
    servers: bool = True
    refuses: str = ""
    others: RampEnd | None = None
    log: list[Any] = field(default_factory=list)
    looks: int = 0
    asked: int = 0
    share: float = 0.0
    renewals: list[int] = field(default_factory=list)
    """Numbers of looks after which it has got other items."""
    after: int = 10**9
    """Number of questions after which ``others`` have changed the canary."""

    def set_share(self, share: float, figures: Any) -> None:
        self.share, self.looks = share, 0
        self.log.append(share)

    def promote(self, figures: Any) -> str:
        self.log.append("promote")
        return self.refuses

    def stop(self, reason: str, figures: Any) -> None:
        self.log.append(("stop", reason, figures and figures["state"]))

    def changed(self) -> RampEnd | None:
        self.asked += 1
        return self.others if self.asked > self.after else None

    def renewed(self) -> bool:
        return self.looks in self.renewals and not self.renewals.remove(self.looks)

    def silent(self) -> str:
        return self.silence(self.asked)

    def has_servers(self) -> bool:
        return self.servers

    def begin(self) -> None:
        self.log.append("begin")

    def look(self) -> GateReport:
        self.looks += 1
        state = self.state(self.share, self.looks)
        return GateReport("r", "s", [GateVerdict("empty", state, f"is {state}")])  # type: ignore[arg-type]


def run(canary: Fake, plan: RampPlan = PLAN) -> tuple[RampEnd, list[Look], float]:
    """How it ends, the looks, and how many seconds it took."""
    looks: list[Look] = []
    clock = Clock()
    end = Ramp(canary, plan, looks.append, clock.now, clock.sleep).run()
    return end, looks, clock.now() - 1e6


def test_what_passes_takes_every_step_and_is_promoted() -> None:
    canary = Fake()
    end, looks, took = run(canary)
    assert end.outcome == "promoted" and end.figures and end.figures["state"] == "pass"
    assert canary.log == [0.01, "begin", 0.05, "begin", 0.25, "begin", 0.5, "begin", "promote"]
    assert [sum(look.share == share for look in looks) for share in SHARES] == [60, 60, 60, 60, 0]
    assert took == 4 * (600 + 4)  # a second until it is seen to answer, three until the window begins


@pytest.mark.parametrize("share", SHARES[:-1])
@pytest.mark.parametrize("look", [1, 60])
def test_a_gate_that_fails_ends_it_at_once(share: float, look: int) -> None:
    canary = Fake(lambda own, looks: "fail" if (own, looks) == (share, look) else "pass")
    end, looks, _ = run(canary)
    assert end.outcome == "rolled back" and end.reason == "empty: is fail"
    assert canary.log[-1] == ("stop", "empty: is fail", "fail")
    assert (looks[-1].share, looks[-1].state, looks[-1].seconds) == (share, "fail", look * 10)
    assert "promote" not in canary.log and max(x for x in canary.log if isinstance(x, float)) == share


def test_inconclusive_at_the_end_of_a_step_holds_until_it_passes() -> None:
    canary = Fake(lambda share, looks: "inconclusive" if share == 0.05 and looks < 200 else "pass")
    end, looks, _ = run(canary)
    assert end.outcome == "promoted"
    assert sum(look.share == 0.05 for look in looks) == 200


def test_inconclusive_for_longer_than_wait_is_held_and_keeps_the_share() -> None:
    canary = Fake(lambda share, looks: "inconclusive")
    end, looks, took = run(canary, RampPlan(SHARES, 600, 10, wait_s=300))
    assert end.outcome == "held" and end.reason == "empty: is inconclusive"
    assert canary.log == [0.01, "begin"] and took == 904


def test_a_pass_before_the_end_of_a_step_does_not_shorten_it_and_does_not_count_later() -> None:
    canary = Fake(lambda share, looks: "pass" if looks < 60 else "inconclusive")
    end, _, _ = run(canary, RampPlan(SHARES, 600, 10, wait_s=0))
    assert end.outcome == "held" and canary.log == [0.01, "begin"]


def test_a_canary_that_is_not_loaded_in_time_is_ended() -> None:
    canary = Fake(silence=lambda asked: "process 7: it is being loaded")
    end, looks, took = run(canary)
    assert end.outcome == "rolled back" and "did not answer for 60 s: process 7" in end.reason
    assert took == 60 and [look.state for look in looks] == ["inconclusive"] and "begin" not in canary.log


def test_a_step_begins_when_the_canary_answers() -> None:
    end, looks, took = run(Fake(silence=lambda asked: "starts" if asked <= 30 else ""), RampPlan([0.05], 600, 10))
    assert end.outcome == "set" and took == 34 + 600
    assert [look.seconds for look in looks[:2]] == [0, 10]


def test_without_a_server_it_waits() -> None:
    canary = Fake(silence=lambda asked: "no `cascade serve` runs" if asked <= 5000 else "", servers=False)
    end, looks, took = run(canary, RampPlan([0.05], 600, 10))
    assert end.outcome == "set" and looks[0].text == "no `cascade serve` runs" and took == 5000 + 4 + 600
    canary = Fake(silence=lambda asked: "no `cascade serve` runs", servers=False)
    assert run(canary, RampPlan([0.05], 600, 10, wait_s=60))[0] == RampEnd("held", "no `cascade serve` runs")


def test_a_server_that_is_gone_in_a_step_holds_and_one_that_lost_the_canary_ends_it() -> None:
    gone = Fake(silence=lambda asked: "gone" if 20 < asked < 200 else "", servers=False)
    assert run(gone)[0].outcome == "promoted"
    lost = Fake(silence=lambda asked: "it crashed" if asked > 20 else "")
    end, looks, _ = run(lost)
    assert end.outcome == "rolled back" and "it crashed" in end.reason
    assert {look.text for look in looks[17:]} == {"it crashed"} and lost.log[-1][2] == "pass"
    empty = Fake(lambda share, looks: "fail" if looks > 20 else "pass", lambda asked: "gone" if asked > 20 else "")
    assert run(empty)[0].reason == "empty: is fail"
    short = Fake(silence=lambda asked: "it crashed" if asked % 9 == 0 else "")
    assert run(short)[0].outcome == "promoted"


def test_with_other_items_the_figures_begin_anew_and_the_step_goes_on() -> None:
    canary = Fake(renewals=[30])
    end, looks, took = run(canary, RampPlan([0.05], 600, 10))
    assert end.outcome == "set" and canary.log == [0.05, "begin", "begin"]
    assert [look.seconds for look in looks][29:31] == [300, 324] and took == 4 + 604
    silent = Fake(renewals=[30], silence=lambda asked: "it crashed" if asked > 34 else "")
    assert "did not answer for 60 s: it crashed" in run(silent)[0].reason


@pytest.mark.parametrize(
    "others", [RampEnd("rolled back", "ended"), RampEnd("promoted", "promoted"), RampEnd("held", "x")]
)
@pytest.mark.parametrize("after", [0, 1, 30, 64, 150])
def test_what_others_do_ends_it_and_it_changes_nothing_more(others: RampEnd, after: int) -> None:
    canary = Fake(others=others, after=after)
    end, _, _ = run(canary)
    assert end == others and "promote" not in canary.log
    assert not [each for each in canary.log if isinstance(each, tuple)]


def test_others_who_end_it_after_the_last_step_keep_it_from_being_promoted() -> None:
    canary = Fake(others=RampEnd("rolled back", "ended"), after=4 * 64)
    assert run(canary)[0].outcome == "rolled back" and canary.log[-1] == "begin"


def test_a_server_that_refuses_the_promotion_ends_it() -> None:
    canary = Fake(refuses="process 7: cannot load it")
    end, _, _ = run(canary)
    assert end.outcome == "rolled back" and canary.log[-2:] == [
        "promote",
        ("stop", "process 7: cannot load it", "pass"),
    ]


def test_the_same_command_continues_from_the_share() -> None:
    def rest(current: float) -> Iterator[float]:
        yield from PLAN.from_share(current).shares

    assert list(rest(0.25)) == [0.25, 0.5, 1.0]
    assert list(rest(0.1)) == [0.1, 0.25, 0.5, 1.0]
    assert list(rest(0.5)) == [0.5, 1.0]
    assert list(RampPlan([0.01, 0.05], 1, 1).from_share(0.25).shares) == [0.25]
    assert PLAN.from_share(0.25).every_s == PLAN.every_s
