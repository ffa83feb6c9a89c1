"""Latency histograms, against prometheus_client."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from cascade.ensemble.triton.latency_histogram import BOUNDS_S, StageHistogram

SECONDS = st.one_of(st.floats(0, 3), st.sampled_from(BOUNDS_S))


def test_bounds_are_1_2_5_from_10_microseconds_to_a_second():
    assert BOUNDS_S[:4] == pytest.approx((1e-5, 2e-5, 5e-5, 1e-4))
    assert BOUNDS_S[-3:] == pytest.approx((0.2, 0.5, 1.0))
    assert len(BOUNDS_S) == 16


def test_a_bucket_holds_its_bound_and_all_that_is_below():
    histogram = StageHistogram(["rank"])
    for took in (0.00001, 0.001, 0.0011, 7.0):
        histogram.observe({"rank": took})
    values = histogram.values()
    name = "recsys_latency_seconds"
    buckets = {dict(labels)["le"]: value for (series, labels), value in values.items() if series == f"{name}_bucket"}
    assert [buckets[bound] for bound in ("1e-05", "2e-05", "0.001", "0.002", "1", "+Inf")] == [1, 1, 2, 3, 3, 4]
    assert values[f"{name}_count", (("stage", "rank"),)] == 4
    assert values[f"{name}_sum", (("stage", "rank"),)] == pytest.approx(7.00211)


@given(st.lists(st.tuples(SECONDS, SECONDS), max_size=30))
def test_counts_as_prometheus_does(passes):
    histogram, registry = StageHistogram(["a", "b"], "took"), CollectorRegistry()
    oracle = Histogram("took", "-", ["stage"], buckets=BOUNDS_S, registry=registry)
    for stage in ("a", "b"):
        oracle.labels(stage)
    for a, b in passes:
        histogram.observe({"a": a, "b": b})
        oracle.labels("a").observe(a)
        oracle.labels("b").observe(b)
    got = {
        (series, dict(labels)["stage"], float(dict(labels).get("le", "nan"))): value
        for (series, labels), value in histogram.values().items()
    }
    expected = {
        (sample.name, sample.labels["stage"], float(sample.labels.get("le", "nan"))): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }
    assert len(got) == len(expected)
    for (series, stage, le), value in expected.items():
        found = next(v for (n, s, x), v in got.items() if n == series and s == stage and (x == le or math.isnan(le)))
        assert found == pytest.approx(value)
