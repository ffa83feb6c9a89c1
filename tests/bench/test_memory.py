"""Reading memory, and computing its growth."""

import os

import numpy as np
import psutil
import pytest

from cascade.bench.memory import (
    MemoryLog,
    Usage,
    growth,
    memory_of,
    summary,
    usage,
)


def test_growth_of_five_minutes_by_hand():
    times = [float(second) for second in range(1, 301)]
    values = [500.0 if at < 60 else 100.0 if at < 120 else 120.0 if at < 240 else 103.0 for at in times]
    assert growth(times, values, 300) == pytest.approx(1.03)  # only the second and the last minute count


def test_a_short_load_is_cut_into_thirds():
    assert growth([1, 2, 3, 4, 5, 6], [99, 8, 12, 10, 30, 40], 6) == pytest.approx((10 + 30 + 40) / 3 / 10)


def test_growth_needs_both_parts():
    assert growth([1.0], [5.0], 300) is None
    assert growth([70.0, 250.0], [float("nan"), 5.0], 300) is None


def test_processes_come_and_go():
    log = MemoryLog(None)
    log.note(1, {"a": Usage(70, 90, 10)})
    log.note(2, {"a": Usage(80, 90, 11), "b": Usage(9, 20, 5)})
    log.note(3, {"b": Usage(10, 20, 6)})
    np.testing.assert_equal(log.mb["a"], [10, 11, float("nan")])
    np.testing.assert_equal(log.mb["b"], [float("nan"), 5, 6])
    assert log.mb["total"] == [10, 16, 6] and log.mb["pss"] == [70, 89, 10] and log.times_s == [1, 2, 3]


def test_usage_is_what_the_kernel_says():
    own = usage(os.getpid())
    full = psutil.Process().memory_full_info()
    assert own is not None
    assert own.rss == pytest.approx(full.rss / 1e6, rel=0.05)
    assert own.pss == pytest.approx(full.pss / 1e6, rel=0.05)
    grown = np.ones(10_000_000)  # 80 MB that belong to no file
    assert usage(os.getpid()).own - own.own == pytest.approx(grown.nbytes / 1e6, rel=0.2)
    assert own.own < own.pss
    assert usage(2**22 + 1) is None  # beyond the largest process id


def test_processes_without_stubs_have_their_own_names():
    found = memory_of(os.getpid())
    assert psutil.Process().name() in found
    assert memory_of(None) == {}


def test_summary_adds_up():
    shown = summary({"tritonserver": Usage(10.04, 30, 3.21), "cascade#1": Usage(20, 40, 5)})
    assert (shown["pss"], shown["rss"], shown["own"]) == (30.0, 70, 8.2)
    assert shown["processes"]["cascade#1"] == {"pss": 20, "rss": 40, "own": 5}
