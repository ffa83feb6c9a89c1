"""The loads of a sweep and of a soak, on a simulated server."""

from pathlib import Path

import pytest

from cascade.bench.load.generator import LoadResult
from cascade.bench.load.soak import soak
from cascade.bench.load.sweep import LoadSchedule, LoadTest, sweep
from cascade.bench.probe import Interval, Snapshot
from cascade.bench.targets import Target
from cascade.core.errors import ServerError


class Generator:
    """Simulates 100 requests per second for each request in flight, at most 300; above ``limit`` all fail."""

    name = "simulated"

    def __init__(self, limit=100):
        self.loads, self.limit = [], limit

    def drive(self, url, model, requests, load):
        self.loads.append(load)
        if load.mode == "concurrency" and load.level > self.limit:
            return LoadResult(0.0, None, None, None, 0.0, 2, "too many")
        rate = min(100.0 * load.level, 300.0) if load.mode == "concurrency" else load.level
        return LoadResult(rate, 1.0, 2.0, 3.0, 0.0)


class Probe:
    def snapshot(self):
        return Snapshot(0, 0, 0, 0)

    def since(self, before):
        return Interval(before, Snapshot(10, 0, 10, 10))


def load_test(generator):
    return LoadTest(Target("", "cascade", layout="fused", startup_s=1.0), Probe(), generator, Path("requests.json"))


def test_rates_are_shares_of_the_best_rate_of_their_batch_size():
    generator, seen = Generator(), []
    schedule = LoadSchedule(batches=(1, 8), concurrency=(1, 2, 4), seconds=5, warmup_s=2)
    points = sweep(load_test(generator), schedule, seen.append)
    assert [(p.batch, p.mode, p.level) for p in points[:8]] == [
        *((1, "concurrency", level) for level in (1, 2, 4)),
        *((1, "rate", rate) for rate in (90.0, 150.0, 210.0, 240.0, 270.0)),
    ]
    assert points == seen and len(points) == schedule.points == 16
    warmups = [load for load in generator.loads if load.seconds == 2]
    assert [load.batch for load in warmups] == [1, 8] and generator.loads[0] in warmups


def test_given_rates_are_used():
    generator = Generator()
    schedule = LoadSchedule(batches=(1,), concurrency=(), rates=(50.0, 70.0), warmup_s=0)
    assert [point.level for point in sweep(load_test(generator), schedule, lambda point: None)] == [50.0, 70.0]
    assert len(generator.loads) == schedule.points == 2


def test_a_load_with_errors_is_not_the_best():
    points = sweep(load_test(Generator(limit=2)), LoadSchedule((1,), (1, 2, 4), warmup_s=0), lambda point: None)
    assert points[2].errors == 2 and points[-1].level == pytest.approx(0.9 * 200)


def test_a_sweep_in_which_every_load_has_errors_fails():
    with pytest.raises(ServerError, match="every load had errors: too many"):
        sweep(load_test(Generator(limit=0)), LoadSchedule((1,), (1,), warmup_s=0), lambda point: None)


def test_a_soak_combines_its_parts():
    class Slow(Generator):
        def drive(self, url, model, requests, load):
            import time

            time.sleep(0.4)
            return LoadResult(load.level, 1.0, 2.0 + len(self.loads), 3.0, 0.0, errors=1, error="now and then")

    found = soak(load_test(Slow()), rate=80.0, batch=1, seconds=1.2)
    assert (found["errors"], found["error"], found["requests_per_s"]) == (1, "now and then", 80.0)
    assert found["memory_ratio"] == {} and found["rate"] == 80.0
