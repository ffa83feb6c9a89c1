"""Time by stage, parsed from the output of Prometheus' own client."""

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from cascade.bench.stage_times import StageTimes


def published(passes, requests):
    """The endpoint's text, parsed: ``passes`` (model, pid, stage, seconds), ``requests`` (model, pid) -> count."""
    registry = CollectorRegistry()
    histogram = Histogram("recsys_latency_seconds", "by stage", ["model", "pid", "stage"], registry=registry)
    counter = Gauge("recsys_requests_total", "in passes", ["model", "pid"], registry=registry)
    Gauge("recsys_users_total", "not used", ["model"], registry=registry).labels("a").set(99)
    for model, pid, stage, seconds in passes:
        histogram.labels(model, pid, stage).observe(seconds)
    for labels, count in requests.items():
        counter.labels(*labels).set(count)
    return StageTimes.parse(generate_latest(registry).decode())


def test_milliseconds_per_request_by_hand():
    first = [("a", "1", "rank", 0.5), ("a", "2", "rank", 0.25), ("a", "1", "order", 0.001)]
    before = published(first, {("a", "1"): 10, ("a", "2"): 5})
    more = [("a", "1", "rank", 0.1), ("a", "2", "rank", 0.3), ("a", "1", "order", 2e-5)]
    after = published([*first, *more], {("a", "1"): 30, ("a", "2"): 85})
    assert after.ms_since(before, {"a"}) == pytest.approx({"rank": 1000 * 0.4 / 100, "order": 1000 * 2e-5 / 100})


def test_steps_of_an_ensemble_count_their_own_requests():
    """Three requests went through each of two models; the times of their stages ``unpack`` are added."""
    passes = [("a_rank", "1", "rank", 0.3), ("a_rank", "1", "unpack", 0.03), ("a_order", "2", "unpack", 0.06)]
    after = published(passes, {("a_rank", "1"): 3, ("a_order", "2"): 3})
    assert after.ms_since(StageTimes(), {"a", "a_rank", "a_order"}) == pytest.approx({"rank": 100, "unpack": 30})
    assert after.ms_since(StageTimes(), {"a_order"}) == pytest.approx({"unpack": 20})


def test_a_restarted_process_counts_from_its_start():
    before = published([("a", "1", "rank", 5.0)], {("a", "1"): 100})
    after = published([("a", "2", "rank", 0.2)], {("a", "2"): 4})
    assert after.ms_since(before, {"a"}) == pytest.approx({"rank": 50})


def test_without_counters_or_requests_there_are_no_times():
    assert StageTimes.parse('# HELP nv_inference_count ...\nnv_inference_count{model="a"} 5\n') == StageTimes()
    same = published([("a", "1", "rank", 5.0)], {("a", "1"): 100})
    assert same.ms_since(same, {"a"}) == {}
