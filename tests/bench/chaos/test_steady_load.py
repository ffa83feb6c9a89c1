"""What clients noticed, computed from the times of their requests."""

import threading
import time
from contextlib import nullcontext

import pytest

from cascade.bench.chaos.steady_load import Endpoint, Sent, SteadyLoad
from cascade.core.errors import ServerError


class Toy:
    """A server that answers, or calls itself ready, as it is told."""

    def __init__(self, answers=True, ready=True, answers_others=None):
        self.answers, self.ready = answers, ready
        self.answers_others = answers if answers_others is None else answers_others
        self.asked = threading.Event()

    def ask(self, user):
        if not self.answers:
            raise ServerError("gone")

    def answers_once(self, user):
        self.asked.set()
        return self.answers_others

    def endpoint(self):
        return Endpoint(lambda: nullcontext(self.ask), lambda: self.ready, self.answers_once)


def load_with(sent):
    load = SteadyLoad(Toy().endpoint(), [1], 10)
    load._sent = sent
    return load


def test_the_gap_is_the_longest_time_without_an_answer():
    now = time.monotonic()
    answers = [Sent(now - 9 + at - 0.01, now - 9 + at, "") for at in (-1.0, 0.5, 1.0, 4.0, 4.5, 5, 6, 7, 8, 9)]
    failed = [
        Sent(now - 8.5, now - 7.5, "gone"),
        Sent(now - 8.4, now - 7.4, "gone"),
        Sent(now - 20, now - 19, "before"),
    ]
    noticed = load_with([*answers, *failed]).noticed(now - 9, 3)
    assert round(noticed.gap_s, 3) == 3.0
    assert (noticed.in_flight, noticed.failed, noticed.errors) == (3, 2, ["gone"])


def test_a_gap_that_has_not_ended_counts():
    now = time.monotonic()
    noticed = load_with([Sent(now - 5, now - 4, "")]).noticed(now - 4.5, 0)
    assert round(noticed.gap_s, 1) == 4.0


def test_a_server_that_says_ready_and_does_not_answer_is_counted():
    toy = Toy(answers=False)
    with SteadyLoad(toy.endpoint(), [1, 2], 20) as load:
        start = time.monotonic()
        while not load.noticed(start, 0).false_ready:
            time.sleep(0.01)
            assert time.monotonic() - start < 60


@pytest.mark.parametrize("toy", [Toy(answers=False, ready=False), Toy()], ids=["not ready", "answers"])
def test_one_that_is_not_ready_or_answers_is_not_counted(toy):
    with SteadyLoad(toy.endpoint(), [1, 2], 500) as load:
        start = time.monotonic()
        time.sleep(0.5)
        assert load.noticed(start, 0).false_ready == 0
    assert toy.ready or not toy.asked.is_set()


def test_a_silence_in_which_others_are_answered_is_no_false_sign():
    toy = Toy(answers=False, answers_others=True)
    with SteadyLoad(toy.endpoint(), [1, 2], 20) as load:
        assert toy.asked.wait(60)
        assert load.noticed(0.0, 0).false_ready == 0
