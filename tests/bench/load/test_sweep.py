"""Which loads a sweep and a soak try, on a server that only pretends."""

from pathlib import Path

import pytest

from cascade.bench.load.generator import Driven
from cascade.bench.load.soak import soak
from cascade.bench.load.sweep import Bench, Plan, sweep
from cascade.bench.probe import Interval, Snapshot, Target
from cascade.bench.serving import Served
from cascade.core.errors import ServerError


class Generator:
    """Answers 100 requests a second for each in flight, at most 300; up to ``limit`` in flight."""

    name = "pretended"

    def __init__(self, limit=100):
        self.loads, self.limit = [], limit

    def drive(self, url, model, requests, load):
        self.loads.append(load)
        if load.mode == "concurrency" and load.level > self.limit:
            return Driven(0.0, None, None, None, 0.0, 2, "too many")
        rate = min(100.0 * load.level, 300.0) if load.mode == "concurrency" else load.level
        return Driven(rate, 1.0, 2.0, 3.0, 0.0)


class Probe:
    def snapshot(self):
        return Snapshot(0, 0, 0, 0)

    def since(self, before):
        return Interval(before, Snapshot(10, 0, 10, 10))


def bench(generator):
    return Bench(Served(Target("", "cascade"), "fused", 1.0), Probe(), generator, Path("requests.json"))


def test_rates_follow_from_the_best_of_their_batch_size():
    generator, seen = Generator(), []
    plan = Plan(batches=(1, 8), concurrency=(1, 2, 4), seconds=5, warmup_s=2)
    points = sweep(bench(generator), plan, seen.append)
    assert [(p.batch, p.mode, p.level) for p in points[:8]] == [
        *((1, "concurrency", level) for level in (1, 2, 4)),
        *((1, "rate", rate) for rate in (90.0, 150.0, 210.0, 240.0, 270.0)),
    ]
    assert points == seen and len(points) == plan.points == 16
    warmups = [load for load in generator.loads if load.seconds == 2]
    assert [load.batch for load in warmups] == [1, 8] and generator.loads[0] in warmups


def test_rates_that_are_given_are_taken():
    generator = Generator()
    plan = Plan(batches=(1,), concurrency=(), rates=(50.0, 70.0), warmup_s=0)
    assert [point.level for point in sweep(bench(generator), plan, lambda point: None)] == [50.0, 70.0]
    assert len(generator.loads) == plan.points == 2


def test_a_load_with_errors_is_not_the_best():
    points = sweep(bench(Generator(limit=2)), Plan((1,), (1, 2, 4), warmup_s=0), lambda point: None)
    assert points[2].errors == 2 and points[-1].level == pytest.approx(0.9 * 200)


def test_errors_everywhere_are_an_error():
    with pytest.raises(ServerError, match="every load had errors: too many"):
        sweep(bench(Generator(limit=0)), Plan((1,), (1,), warmup_s=0), lambda point: None)


def test_a_soak_adds_its_parts_up():
    class Slow(Generator):
        def drive(self, url, model, requests, load):
            import time

            time.sleep(0.4)
            return Driven(load.level, 1.0, 2.0 + len(self.loads), 3.0, 0.0, errors=1, error="now and then")

    found = soak(bench(Slow()), rate=80.0, batch=1, seconds=1.2)
    assert (found["errors"], found["error"], found["requests_per_s"]) == (1, "now and then", 80.0)
    assert found["memory_ratio"] == {} and found["rate"] == 80.0
