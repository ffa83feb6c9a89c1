"""A release is watched after its promotion: by the clock, its errors, and its processes."""

from types import SimpleNamespace

import pytest

from cascade.rollout.canary.scrape import parse
from cascade.rollout.canary.watch import ReleaseWatch, WatchedServer
from cascade.rollout.config import WatchConfig

CONFIG = WatchConfig(minutes=10, max_error_share=0.02, min_errors=20, max_processes=3, every_s=1)


@pytest.fixture
def world():
    return SimpleNamespace(now=1000.0, internal=7, invalid=0, answered=100, ended=4, reachable=True, more="")


@pytest.fixture
def watch(world):
    def read(url):
        if not world.reachable:
            raise OSError("refused")
        return parse(
            f'recsys_refused_requests_total{{pid="1",why="internal"}} {world.internal}\n'
            f'recsys_refused_requests_total{{pid="1",why="invalid"}} {world.invalid}\n'
            f'recsys_requests_total{{pid="1"}} {world.answered}\n'
            f"{world.more}"
        )

    counts = {"replaced_instances": 0, "server_restarts": 0}
    sources = WatchedServer(lambda: "there", lambda: {**counts, "replaced_instances": world.ended})
    made = ReleaseWatch(sources, CONFIG, lambda: world.now, read)
    made.begin()
    assert made.fault() == ""
    world.now += 1
    return made


def test_errors_since_the_promotion_take_it_back(world, watch):
    world.internal, world.invalid, world.answered = 7 + 19, 500, 100 + 481
    assert watch.fault() == ""  # 19 are too few, and what is wrong with requests does not count
    world.now, world.internal = world.now + 1, 7 + 20
    assert watch.fault() == "20 of 501 requests have failed since its promotion (4.0%)"


def test_a_small_share_of_errors_does_not(world, watch):
    world.internal, world.answered = 7 + 100, 100 + 4900
    assert watch.fault() == ""  # 100 of 5000 are 2 %
    world.now, world.internal = world.now + 1, 7 + 101
    assert "101 of 5001" in watch.fault()


def test_a_request_counts_once_in_an_ensemble_whose_steps_all_count_it(world, watch):
    counts = 'recsys_requests_total{{model="shop_{0}",pid="{1}"}} {2}\n'
    world.more = "".join(counts.format(*each) for each in [("first", 2, 600), ("first", 3, 400), ("last", 4, 979)])
    failed = 'recsys_refused_requests_total{{model="shop_{0}",pid="{1}",why="internal"}} {2}\n'
    world.more += "".join(failed.format(*each) for each in [("second", 5, 12), ("last", 4, 9)])
    world.now += 1
    assert watch.fault() == "21 of 1021 requests have failed since its promotion (2.1%)"


def test_processes_that_end_take_it_back_even_if_nobody_answers(world, watch):
    world.ended, world.reachable = 6, False
    assert watch.fault() == ""
    world.now, world.ended = world.now + 1, 7
    assert watch.fault() == "3 processes have died or hung since its promotion"


def test_it_looks_once_in_a_while_and_not_for_ever(world, watch):
    world.ended = 50
    assert watch.fault() != ""
    assert watch.fault() == ""  # within the same second
    world.now = 1000 + 600
    assert watch.fault() == ""
    watch.begin()
    assert watch.fault() == ""  # what was before does not count
    world.now, world.ended = world.now + 1, 53
    watch.end()
    assert watch.fault() == ""
