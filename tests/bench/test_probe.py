"""Differences between two snapshots of a server's counters."""

import pytest

from cascade.bench.probe import Interval, Snapshot, processes


def test_differences_by_hand():
    before = Snapshot(requests=100, failed=1, users=800, passes=50, cpu_s={7: 2.0, 8: 1.0})
    after = Snapshot(
        requests=300,
        failed=4,
        users=2400,
        passes=450,
        cpu_s={7: 2.2, 9: 0.4},  # process 8 was replaced by 9
    )
    interval = Interval(before, after)
    assert (interval.requests, interval.failed, interval.effective_batch) == (200, 3, 4.0)
    assert interval.cpu_ms_per_request == pytest.approx(1000 * (0.2 + 0.4) / 200)


def test_without_answers_there_are_no_means():
    interval = Interval(Snapshot(5, 0, 5, 5, {1: 0.0}), Snapshot(5, 3, 5, 5, {1: 1.0}))
    assert (interval.cpu_ms_per_request, interval.effective_batch) == (None, None)


def test_a_server_on_another_machine_has_no_cpu_time():
    assert Interval(Snapshot(0, 0, 0, 0), Snapshot(9, 0, 9, 9)).cpu_ms_per_request is None
    assert processes(None) == []
