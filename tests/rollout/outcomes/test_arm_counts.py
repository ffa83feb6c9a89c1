"""Sums over the users of each arm, by hand and against a slow sum."""

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outcome_events import event, write

from cascade.ensemble.protocol.assignment import Assignment
from cascade.rollout.outcomes.arm_counts import Outcomes, outcomes_in
from cascade.rollout.outcomes.event_log import EventLog
from cascade.rollout.outcomes.windows import Window
from cascade.rollout.releases.live_set import Arm, LiveSets

DAY = 86_400
START = 1_790_000_000
WINDOW = Window(START * 10**6, None, 2, "s", (Arm("canary", "c", 0.5),), "salt")


@pytest.fixture(autouse=True)
def history(monkeypatch) -> None:
    monkeypatch.setattr(EventLog, "_windows", lambda self: [WINDOW])


def counted(log: EventLog, days: float = 28.0, wanted: tuple[str, ...] = ("click",)) -> Outcomes:
    return outcomes_in(log, WINDOW, WINDOW.start_us, wanted, days)


def users_of(arm: int, number: int) -> list[str]:
    """Users who are in an arm."""
    ids = np.array([f"user {at}" for at in range(50)])
    return [str(each) for each in ids[Assignment("salt", [("canary", 0.5)]).arms(ids) == arm][:number]]


def totals(found: Outcomes, arm: str, metric: str) -> tuple[float, float, float]:
    """Users, sum and sum of squares."""
    sums = found.counts[arm].metrics[metric]
    return float(sums.users), float(sums.sums[0]), float(sums.products[0, 0])


def test_with_impressions_by_hand(log, tmp_path) -> None:
    (a, b), (c,) = users_of(0, 2), users_of(1, 1)
    nobody = users_of(1, 2)[1]
    events = [
        *[event(user, START + 1, "impression") for user in (a, a, b, c)],
        *[event(a, START + at) for at in (2, 3, 4)],
        event(c, START + 5),
        event(nobody, START + 5),  # was shown nothing
        event(b, START + 6, "conversion", value=20.0),
        event(b, START + 7, "conversion", value=-5.0),
        event(a, START - 1),  # before the window
    ]
    log.ingest(write(tmp_path / "e.jsonl", events))
    found = counted(log)
    assert {arm: counts.users for arm, counts in found.counts.items()} == {"stable": 2, "canary": 1}
    assert found.metrics == ["click", "conversion", "revenue"]
    assert totals(found, "stable", "click") == (2, 3, 9)
    assert totals(found, "canary", "click") == (1, 1, 1)
    assert totals(found, "stable", "conversion") == (2, 2, 4)
    assert totals(found, "stable", "revenue") == (2, 15, 225)
    assert totals(found, "canary", "revenue") == (1, 0, 0)
    assert found.last_us == (START + 7) * 10**6


def test_a_log_that_was_begun_anew_has_none_of_the_events_before(log, tmp_path) -> None:
    """Its windows count their generations from 1 again."""
    (a,), (b,) = users_of(0, 1), users_of(1, 1)
    log.ingest(write(tmp_path / "e.jsonl", [event(user, START + 1) for user in (a, b)]))
    later = replace(WINDOW, start_us=WINDOW.start_us + 10**9)
    found = outcomes_in(log, later, later.start_us, ("click",), 28.0)
    assert totals(found, "stable", "click") == totals(found, "canary", "click") == (0, 0, 0)


def test_without_impressions_all_users_with_events_count(log, tmp_path) -> None:
    (a,), (b,) = users_of(0, 1), users_of(1, 1)
    log.ingest(write(tmp_path / "e.jsonl", [event(a, START + 1), event(b, START + 1, "conversion")]))
    found = counted(log)
    assert totals(found, "stable", "click") == (1, 1, 1) and totals(found, "canary", "click") == (1, 0, 0)


def test_without_events_there_are_arms_without_users(log) -> None:
    found = counted(log)
    assert totals(found, "stable", "click") == totals(found, "canary", "click") == (0, 0, 0)
    assert (found.metrics, found.last_us, found.pre_period_users) == ([], None, 0)


def test_the_pre_period_by_hand(log, tmp_path) -> None:
    (a, b) = users_of(0, 2)
    events = [event(user, START + 1, "impression") for user in (a, b)]
    events += [event(a, START - 5), event(a, START - 2 * DAY), event(a, START - 30 * DAY)]
    log.ingest(write(tmp_path / "e.jsonl", events))
    found = counted(log)
    assert found.pre_period_users == 1
    assert found.counts["stable"].metrics["click"].sums.tolist() == [0, 2, 1]  # clicks, clicks before, known before
    assert counted(log, days=1).counts["stable"].metrics["click"].sums.tolist() == [0, 1, 1]
    assert counted(log, days=0).counts["stable"].metrics["click"].sums.tolist() == [0]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.integers(START - 20, START + 20),
            st.sampled_from(["impression", "click", "conversion"]),
            st.sampled_from([None, 1.0, 2.5]),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_sums_equal_those_of_a_loop(tmp_path_factory, rows: list[tuple[Any, ...]]) -> None:
    folder = tmp_path_factory.mktemp("loop")
    log = EventLog(LiveSets(folder, "shop"))
    log.ingest(write(folder / "e.jsonl", [event(user, at, name, value=value) for user, at, name, value in rows]))
    inside = [row for row in rows if row[1] >= START]
    shown = {row[0] for row in inside if row[2] == "impression"} or {row[0] for row in inside}
    of = {user: int(Assignment("salt", [("canary", 0.5)]).arms(np.array([user]))[0]) for user in shown}
    found = counted(log, wanted=("click", "revenue"))
    for index, arm in enumerate(("stable", "canary")):
        clicks, revenue = defaultdict(float), defaultdict(float)
        for user, _, name, value in inside:
            if of.get(user) == index:
                clicks[user] += name == "click"
                revenue[user] += value or 0.0
        users = sum(own == index for own in of.values())
        assert found.counts[arm].users == users
        for metric, sums in (("click", clicks), ("revenue", revenue)):
            squares = sum(value**2 for value in sums.values())
            assert totals(found, arm, metric) == pytest.approx((users, sum(sums.values()), squares))
