"""Who was in which arm when, from lines of an audit log."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from cascade.rollout.outcomes.windows import experiment_start, window_at, windows_of
from cascade.rollout.releases.audit_log import AuditLine

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
NOON_US = int(NOON.timestamp() * 1e6)
MINUTE_US = 60 * 10**6


def line(minute: int, generation: int, action: str = "canary", **live: Any) -> AuditLine:
    time = (NOON + timedelta(minutes=minute)).isoformat(timespec="milliseconds")
    new = {"generation": generation, "stable": "s", "previous": None, **live}
    return AuditLine("test", action, None, new, generation, "", time=time)


def canary(share: float, release: str = "c") -> dict[str, Any]:
    return {"arms": [{"name": "canary", "release": release, "share": share}], "salt": "one"}


def test_windows_by_hand() -> None:
    lines = [
        line(0, 1, "promote"),
        line(10, 2, **canary(0.05)),
        line(15, 3, "shadow", **canary(0.05), shadows=[{"name": "shadow", "release": "d", "share": 0.1}]),
        line(20, 4, **canary(0.25)),
        line(30, 5, "stop"),
    ]
    windows = windows_of(lines)
    assert [(each.generation, [arm.share for arm in each.arms]) for each in windows] == [
        (1, []), (2, [0.05]), (4, [0.25]), (5, [])
    ]  # fmt: skip
    assert [(each.start_us - NOON_US) // MINUTE_US for each in windows] == [0, 10, 20, 30]
    assert [each.end_us and (each.end_us - NOON_US) // MINUTE_US for each in windows] == [10, 20, 30, None]
    times = np.array([-1, 0, 9, 10, 19, 20, 29, 30, 999]) * MINUTE_US + NOON_US
    assert window_at(windows, times).tolist() == [-1, 0, 0, 1, 1, 2, 2, 3, 3]
    assert experiment_start(windows, windows[2]) is windows[1]


def test_a_refresh_of_all_arms_makes_no_window_and_any_other_change_of_a_release_does() -> None:
    lines = [
        line(0, 1, **canary(0.5)),
        line(10, 2, "refresh", stable="s2", **canary(0.5, "c2")),
        line(20, 3, "refresh one", stable="s2", **canary(0.5, "c3")),
        line(30, 4, "refresh", stable="s4", **canary(0.25, "c4")),
        line(40, 5, "refresh", stable="s5", **canary(0.25, "c5")),
        line(50, 6, "interrupted", stable="s4", **canary(0.25, "c4")),
    ]
    assert [(each.generation, each.stable, each.arms[0].release) for each in windows_of(lines)] == [
        (1, "s2", "c2"),
        (3, "s2", "c3"),
        (4, "s4", "c4"),
    ]


def test_a_change_that_never_was_live_makes_no_window() -> None:
    lines = [
        line(0, 1, "promote"),
        line(10, 2, **canary(0.5)),  # its process ended before it was live
        line(20, 3, "interrupted"),
        line(21, 4, "interrupted"),
        line(30, 5, **canary(0.05)),
    ]
    windows = windows_of(lines)
    assert [(each.generation, [arm.share for arm in each.arms]) for each in windows] == [(1, []), (5, [0.05])]


def test_a_model_without_a_live_set_has_no_arms() -> None:
    cleared = AuditLine("test", "clear", None, None, 3, "", time=NOON.isoformat())
    windows = windows_of([line(-9, 2, **canary(0.5)), cleared])
    assert [each.arms != () for each in windows] == [True, False]
    assert windows_of([]) == []


def test_arms_of_a_log_without_a_salt_count_as_none() -> None:
    """Nobody's arm can be told."""
    old = {key: value for key, value in canary(0.5).items() if key != "salt"}
    assert windows_of([line(0, 1, **old)])[0].arms == ()
