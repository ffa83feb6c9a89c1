"""A log that is limited: what is kept, and what is said of the rest."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.ensemble.server.log import TELL_S, LogLimit


class Clock:
    at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_few_lines_are_kept_as_they_are(clock: Clock) -> None:
    limit = LogLimit(burst=3, per_second=1, now=clock)
    assert [limit.of(line, line) for line in "abc"] == [["a"], ["b"], ["c"]]
    assert limit.rest() == []


def test_what_exceeds_the_burst_is_counted_and_told(clock: Clock) -> None:
    limit = LogLimit(burst=2, per_second=1, now=clock)
    assert [limit.of(line, line) for line in "abcd"] == [["a"], ["b"], [], []]
    clock.at = 1.0
    assert limit.of("e", "e") == ["e"]
    clock.at = TELL_S
    assert limit.of("f", "f") == ["(2 lines of the server's log were left out: more than 1/s)", "f"]
    assert limit.rest() == []


def test_repeated_lines_are_folded(clock: Clock) -> None:
    limit = LogLimit(burst=9, per_second=1, now=clock)
    assert [limit.of(f"10:0{at} down", "down") for at in range(4)] == [["10:00 down"], [], [], []]
    assert limit.of("up", "up") == ["(the line above came 3 more times)", "up"]
    limit.of("up", "up")
    assert limit.rest() == ["(the line above came 1 more times)"]


def test_a_line_that_repeats_for_long_is_not_forgotten(clock: Clock) -> None:
    limit = LogLimit(burst=9, per_second=1, now=clock)
    written = []
    for second in range(int(3 * TELL_S)):
        clock.at = float(second)
        written += limit.of("down", "down")
    assert written == ["down", "(the line above came 5 more times)", "(the line above came 5 more times)"]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2)), max_size=200))
def test_every_line_is_written_or_told(lines: list[tuple[str, float]]) -> None:
    """And no more are written than the rate allows."""
    clock = Clock()
    limit = LogLimit(burst=5, per_second=2, now=clock)
    written = []
    for line, pause in lines:
        clock.at += pause
        written += limit.of(line, line)
    losses = 1 + clock.at / TELL_S  # lines that tell of them, beside the limit
    assert len(written) <= 5 + 2 * clock.at + losses
    written += limit.rest()
    told = [int(number) for line in written for number in re.findall(r"\d+(?= more| lines)", line)]
    assert sum(told) + sum(line in "abc" for line in written) == len(lines)
