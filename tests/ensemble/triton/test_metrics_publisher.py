"""Counters on Triton's metrics endpoint, with a stand-in for Triton's module."""

import os
from types import SimpleNamespace

import pytest
from waiting import wait_until

from cascade.ensemble.triton.metrics_publisher import Publisher
from cascade.ensemble.triton.pass_metrics import PassMetrics


class TritonModelException(Exception):
    pass


class Metric:
    def __init__(self, labels):
        self.labels, self.value, self.messages = labels, 0.0, 0

    def increment(self, grown):
        assert grown > 0
        self.value += grown
        self.messages += 1


class MetricFamily:
    COUNTER, GAUGE = "counter", "gauge"
    made: dict = {}

    def __init__(self, name, description, kind):
        assert kind == ("counter" if name.endswith("_total") else "gauge") and description
        self.name = name

    def Metric(self, labels):  # noqa: N802  (Triton's name)
        self.made.setdefault(self.name, []).append(metric := Metric(labels))
        return metric


@pytest.fixture
def triton(monkeypatch):
    monkeypatch.setattr(MetricFamily, "made", {})
    return SimpleNamespace(MetricFamily=MetricFamily, TritonModelException=TritonModelException)


def wait_for(condition):
    wait_until(condition, 0.005)


def test_what_has_grown_is_sent_and_nothing_else(triton):
    values = {("a", (("stage", "x"),)): 0.0, ("a", (("stage", "y"),)): 0.0, ("b", ()): 0.0}
    publisher = Publisher(triton, "shop", lambda: values, {"a": "A", "b": "B"}, interval=0.01)
    publisher.start()
    x, y = MetricFamily.made["a"]
    (b,) = MetricFamily.made["b"]
    assert x.labels == {"model": "shop", "pid": str(os.getpid()), "stage": "x"}
    values[("a", (("stage", "x"),))] = 2.0
    wait_for(lambda: x.value == 2)
    values[("a", (("stage", "x"),))] = 5.0
    wait_for(lambda: x.value == 5)
    values[("b", ())] = 1.5
    publisher.stop()
    assert (x.messages, y.messages, b.value) == (2, 0, 1.5)


def test_a_server_without_metrics_is_served_all_the_same(caplog):
    def refuse(**_):
        raise TritonModelException("metrics are off")

    refuse.COUNTER = refuse.GAUGE = "any"
    triton = SimpleNamespace(MetricFamily=refuse, TritonModelException=TritonModelException)
    publisher = Publisher(triton, "shop", lambda: {("b", ()): 1.0}, {"b": "B"})
    publisher.start()
    publisher.stop()
    assert "no metrics of this model: metrics are off" in caplog.text


def test_a_pass_is_counted_by_stage_with_its_requests_and_users(triton):
    counted = PassMetrics(triton, "shop", ["rank"])
    counted.start()
    counted.observe(3, 5, {"rank": 0.003, "unpack": 0.001, "pack": 0.001, "total": 0.006})
    counted.observe(1, 1, {"rank": 0.001, "unpack": 0.001, "pack": 0.001, "total": 0.004})
    counted.stop()
    made = {
        (name, metric.labels.get("stage")): metric.value for name, all_ in MetricFamily.made.items() for metric in all_
    }
    assert made["recsys_requests_total", None] == 4
    assert made["recsys_users_total", None] == 6
    assert made["recsys_latency_seconds_count", "rank"] == 2
    assert made["recsys_latency_seconds_sum", "total"] == pytest.approx(0.010)
    assert set(stage for _, stage in made) == {"rank", "unpack", "pack", "total", None}
