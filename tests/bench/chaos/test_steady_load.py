"""What clients noticed, computed from the times of their requests."""

import time

from cascade.bench.chaos.steady_load import Sent, SteadyLoad, over_grpc


def load_with(sent, samples):
    load = SteadyLoad(over_grpc("127.0.0.1:1", "cascade"), [1], lambda: True, 10)
    load._sent, load._samples = sent, samples
    return load


def test_the_gap_is_the_longest_time_without_an_answer():
    now = time.monotonic()
    answers = [Sent(now - 9 + at - 0.01, now - 9 + at, "") for at in (-1.0, 0.5, 1.0, 4.0, 4.5, 5, 6, 7, 8, 9)]
    failed = [
        Sent(now - 8.5, now - 7.5, "gone"),
        Sent(now - 8.4, now - 7.4, "gone"),
        Sent(now - 20, now - 19, "before"),
    ]
    samples = [now - 9 + at for at in (0.7, 1.01, 2.0, 3.0, 3.99)]
    noticed = load_with([*answers, *failed], samples).noticed(now - 9, 3)
    assert round(noticed.gap_s, 3) == 3.0
    assert (noticed.in_flight, noticed.failed, noticed.errors) == (3, 2, ["gone"])
    assert noticed.ready_in_gap == 2  # what was said at the very ends may still have been true


def test_a_gap_that_has_not_ended_counts():
    now = time.monotonic()
    noticed = load_with([Sent(now - 5, now - 4, "")], []).noticed(now - 4.5, 0)
    assert round(noticed.gap_s, 1) == 4.0


def test_short_gaps_are_no_outage():
    now = time.monotonic()
    answers = [Sent(now - at / 10, now - at / 10, "") for at in range(20)]
    assert load_with(answers, [now - at / 100 for at in range(150)]).noticed(now - 1.5, 0).ready_in_gap == 0
