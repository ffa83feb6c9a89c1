"""Counters on Triton's metrics endpoint, with a stand-in for Triton's module."""

import os
from types import SimpleNamespace

import numpy as np
import pytest
from waiting import HANG_S, wait_until

from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import LookupUser, Respond
from cascade.ensemble.protocol.inputs import Input
from cascade.ensemble.triton.metrics_publisher import Publisher
from cascade.ensemble.triton.pass_metrics import PassMetrics, RefusalReason
from cascade.workflows.features.circuit_breaker import CircuitBreaker
from cascade.workflows.features.online import StoreUnreachableError


class TritonModelException(Exception):
    pass


class Metric:
    def __init__(self, labels):
        self.labels, self.value, self.messages = labels, 0.0, 0

    def increment(self, grown):
        assert grown > 0
        self.value += grown
        self.messages += 1

    def set(self, value):
        self.value = value
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


def holding(active, **others):
    return SimpleNamespace(active=active, held={active.release.get("release", ""): active, **others})


def wait_for(condition):
    wait_until(condition, 0.005)


def test_what_has_grown_is_sent_and_nothing_else(triton):
    one, other, state = ("a_total", (("stage", "x"),)), ("a_total", (("stage", "y"),)), ("b", ())
    values = {one: 3.0, other: 0.0, state: 1.0}
    publisher = Publisher(triton, "shop", lambda: values, {"a_total": "A", "b": "B"}, interval=0.01)
    publisher.start()
    x, y = MetricFamily.made["a_total"]
    (b,) = MetricFamily.made["b"]
    assert x.labels == {"model": "shop", "pid": str(os.getpid()), "stage": "x"}
    assert (x.value, b.value) == (0, 1)  # what was counted before the start is the warm-up
    values[one] = 5.0
    wait_for(lambda: x.value == 2)
    values[one] = 8.0
    wait_for(lambda: x.value == 5)
    values[state] = 0.0
    publisher.stop()
    assert (x.messages, y.messages) == (2, 0)
    assert (b.messages, b.value) == (2, 0)


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
    counted = PassMetrics(triton, "shop", holding(Executor([], {}, [], max_users=1, release={"release": "abc"})))
    counted.start()
    counted.observe(3, 5, {"unpack": 0.002, "pack": 0.001, "total": 0.006})
    counted.observe(1, 1, {"unpack": 0.001, "pack": 0.001, "total": 0.004})
    counted.refuse(RefusalReason.OVERLOADED)
    counted.stop()
    made = published()
    assert made["recsys_requests_total", None] == 4
    assert made["recsys_users_total", None] == 6
    assert made["recsys_latency_seconds_count", "total"] == 2
    assert made["recsys_latency_seconds_sum", "total"] == pytest.approx(0.010)
    assert {label for name, label in made if name.endswith("_count")} == {"unpack", "pack", "total"}
    assert made["recsys_release_info", "abc"] == 1
    refused = {label: value for (name, label), value in made.items() if name == "recsys_refused_requests_total"}
    assert refused == {"invalid": 0, "overloaded": 1, "other_release": 0, "internal": 0}


def test_the_store_s_state_and_reasons_are_published_from_the_start(triton, tmp_path):
    class Store:
        def read(self, keys):
            raise StoreUnreachableError("gone")

    users, answer = LookupUser("p", {}, "int", "int", 1, {"user_history": []}), Respond(False, "abc")
    users.read_from(CircuitBreaker(Store(), retry_s=HANG_S))
    np.save(tmp_path / "item_ids.npy", np.array([7]))
    answer.load(tmp_path)
    inputs = [Input("user_id", "int64", required=True), Input("top_k", "int32", required=True)]
    inputs.append(Input("ranked_rows", "int64", ("k",), required=True))
    graph = Executor(inputs, {"lookup_user": users, "respond": answer}, ["reasons"], max_users=9)
    counted = PassMetrics(triton, "shop", holding(graph))
    counted.start()
    assert published()["recsys_degraded_users_total", "features_stale"] == 0
    top_k, rows = np.array([[1], [2]], np.int32), np.array([[0], [0]])
    for _ in range(3):
        graph.run({"user_id": np.array([[1], [2]]), "top_k": top_k, "ranked_rows": rows})
    counted.stop()
    made = published()
    degraded = {label: value for (name, label), value in made.items() if name == "recsys_degraded_users_total"}
    assert degraded == {"features_stale": 6, "unknown_user": 0, "fewer_items": 3}
    assert made["recsys_store_breaker_open", None] == made["recsys_store_errors_total", None] == 1


def published():
    """(Name, own label) -> value of every series."""
    told = {}
    for name, metrics in MetricFamily.made.items():
        for metric in metrics:
            own = [value for label, value in metric.labels.items() if label not in ("model", "pid", "le")]
            told[name, *(own or [None])] = metric.value
    return told


def responder(release, folder):
    answer = Respond(False, release)
    np.save(folder / "item_ids.npy", np.array([7]))
    answer.load(folder)
    flags = [Input("known_user", "bool", required=True), Input("features_stale", "bool", required=True)]
    inputs = [*flags, Input("top_k", "int32", required=True), Input("ranked_rows", "int64", ("k",), required=True)]
    return Executor(inputs, {"respond": answer}, ["reasons"], max_users=9, release={"release": release})


def answer_unknown(executor, users):
    column = {"known_user": False, "features_stale": False, "top_k": np.int32(1), "ranked_rows": 0}
    executor.run({name: np.full((users, 1), value) for name, value in column.items()})


def test_counts_go_on_over_releases_that_come_and_go_without_their_warm_ups(triton, tmp_path):
    first, second = (responder(name, tmp_path) for name in ("one", "two"))
    held = holding(first)
    answer_unknown(first, 1)  # its warm-up
    counted = PassMetrics(triton, "shop", held)
    counted.start()
    unknown, info = ("recsys_degraded_users_total", "unknown_user"), ("recsys_release_info", "two")
    answer_unknown(first, 2)
    answer_unknown(second, 5)  # the warm-up of the other one
    counted.count_from_now(second)
    held.held["two"] = second
    wait_for(lambda: info in published())
    assert published()[info] == 0
    answer_unknown(second, 3)
    held.active = second
    wait_for(lambda: published()[info] == 1 and published()[unknown] == 5)
    del held.held["one"]
    counted.forget(first)
    answer_unknown(second, 4)
    wait_for(lambda: published()[unknown] == 9)
    assert {series for series in counted._publisher._metrics if series[0] == info[0]} == {
        (info[0], (("release", "two"),))
    }
    counted.stop()
