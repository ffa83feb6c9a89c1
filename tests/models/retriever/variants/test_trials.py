"""Trials of variants with stand-ins for their trainings."""

import numpy as np
import pytest

from cascade.core.errors import DivergedError
from cascade.models.retriever.variants.settings import Variant
from cascade.models.retriever.variants.trials import Trial, best, difference, line, summary, tried, unfinished

VARIANTS = [Variant(name, {}) for name in ("configured", "first", "second", "third")]
USERS = np.arange(100)
OWN = np.linspace(0, 1, 100)
SURE, UNSURE, WORSE = OWN + 0.1 + 0.2 * (-1) ** USERS, OWN + 0.1 + 0.6 * (-1) ** USERS, OWN - 0.1
"""Gains of 0.1 with standard errors of 0.02 and 0.06, and a loss."""


def test_the_error_is_that_of_users():
    """By hand: deviations +-.1 from the mean .1, two of each user: sums +-.2, and sqrt(.04 + .04) / 4."""
    ours, theirs = np.array([0.5, 0.6, 0.3, 0.4]), np.array([0.3, 0.4, 0.3, 0.4])
    assert difference(ours, theirs, np.array([7, 7, 2, 2])) == pytest.approx((0.1, 0.08**0.5 / 4))
    assert difference(ours, theirs, np.arange(4)) == pytest.approx((0.1, 0.04**0.5 / 4))


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([OWN, WORSE, SURE], 2),
        ([OWN, SURE, SURE + 0.01], 2),
        ([OWN, SURE + 0.01, SURE], 1),
        ([OWN, UNSURE], 0),
        ([OWN, UNSURE, SURE - 0.02], 2),
        ([OWN, OWN], 0),
        ([OWN, None, SURE], 2),
        ([OWN, None], 0),
        ([None, SURE], 0),
        ([], 0),
    ],
)
def test_the_configured_towers_stay_unless_another_is_better_beyond_chance(scores, chosen):
    trials = [Trial(variant, 1.0, ndcg) for variant, ndcg in zip(VARIANTS, scores, strict=False)]
    assert best(trials, USERS) == chosen


def test_one_user_with_most_events_is_no_evidence():
    trials = [Trial(VARIANTS[0], 1.0, np.zeros(100)), Trial(VARIANTS[1], 1.0, np.full(100, 0.1))]
    trials[1].ndcg[10:] = 0.0
    assert best(trials, USERS) == 1
    assert best(trials, np.maximum(USERS, 9)) == 0, "the ten gains are of one user"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def trained(clock, seconds_of_epochs):
    """Stands for trainings whose epochs take so long."""

    def score(variant, watch):
        for epoch, seconds in enumerate(seconds_of_epochs[variant.name], 1):
            clock.now += seconds
            watch(variant.name, epoch, 0.5)
        return OWN

    return score


def test_what_has_not_ended_in_time_does_not_count():
    clock = Clock()
    score = trained(clock, {"configured": [10, 10], "first": [20, 10], "second": [5, 5, 5, 50], "third": [1]})
    trials = tried(VARIANTS, score, 1, clock)
    assert [trial.why for trial in trials] == [None, None, "not ended in time", "not begun in time"]
    assert [trial.seconds for trial in trials] == [20, 30, 10, 0], "the limit is looked at after each epoch"
    assert [trial.ndcg is None for trial in trials] == [False, False, True, True]
    assert unfinished(trials, 1) == [
        "two_tower.auto: 2 of 4 settings have no result (second; third); for more of them raise "
        "two_tower.auto_minutes, which is 1"
    ]


def test_without_the_configured_towers_nothing_is_compared():
    clock = Clock()
    trials = tried(VARIANTS, trained(clock, {"configured": [100]}), 0.5, clock)
    assert [trial.why for trial in trials] == ["not ended in time"] + 3 * ["not begun in time"]
    [notice] = unfinished(trials, 0.5)
    assert "the configured towers have no result (not ended in time)" in notice and "which is 0.5" in notice


def test_a_training_that_fails_is_left_out_and_the_others_go_on(caplog):
    def score(variant, watch):
        if variant.name == "first":
            raise DivergedError("two_tower, first, epoch 2: scores are NaN")
        return OWN

    trials = tried(VARIANTS, score, 1, Clock())
    assert [trial.why for trial in trials] == [None, "two_tower, first, epoch 2: scores are NaN", None, None]
    assert "first is left out" in caplog.text


def test_what_the_metrics_say():
    trials = [Trial(VARIANTS[0], 1.26, OWN), Trial(VARIANTS[1], 2.0, SURE), Trial(VARIANTS[2], 0.5, why="failed")]
    found = summary(trials, USERS)
    assert found["configured"] == {"seconds": 1.3, "ndcg": pytest.approx(0.5)}
    gain = {"gain": pytest.approx(0.1), "standard_error": pytest.approx(0.02)}
    assert found["first"] == {"seconds": 2.0, "ndcg": pytest.approx(0.6), **gain}
    assert found["second"] == {"seconds": 0.5, "left_out": "failed"}
    assert [line(*item) for item in found.items()] == [
        "configured: NDCG 0.5000 in 1 s",
        "first: NDCG 0.6000 (+0.1000, standard error 0.0200) in 2 s",
        "second: failed",
    ]
