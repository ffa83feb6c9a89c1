"""What the gate of train/serve skew makes of counts: hand-computed."""

import pytest

from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.skew import sampled_verdict, skew_verdict
from cascade.rollout.skew.counts import FEATURES, STORE, SkewCounts

CONFIG = GatesConfig(max_skew=0.01, min_skew_requests=100)


def counts(differ: dict, store: int = 200, features: int = 400) -> SkewCounts:
    return SkewCounts(500, 100, 200, {STORE: store, FEATURES: features}, differ)


def test_the_share_is_that_of_the_requests_that_were_compared() -> None:
    verdict = skew_verdict(counts({(STORE, "age"): 2, (FEATURES, "age"): 4, (FEATURES, "hour"): 0}), 0.0, CONFIG)
    assert verdict.state == "pass"
    assert verdict.figures == {
        **{"kept": 500, "unknown": 100, "later": 200, "compared store": 200, "compared features": 400},
        **{"store age": 0.01, "features age": 0.01, "features hour": 0.0},
    }


def test_columns_above_the_tolerance_are_named_the_worst_first() -> None:
    verdict = skew_verdict(counts({(STORE, "age"): 3, (FEATURES, "hour"): 40, (STORE, "geo"): 0}), 0.0, CONFIG)
    assert verdict.state == "fail"
    assert "features hour 10.0%, store age 1.5%; allowed: 1.0%" in verdict.text and "geo" not in verdict.text


def test_few_requests_tell_nothing() -> None:
    verdict = skew_verdict(
        counts({(STORE, "age"): 50, (FEATURES, "hour"): 50}, store=99, features=98), 86_400.0, CONFIG
    )
    assert verdict.state == "inconclusive"
    assert "99 of 500 requests can be compared, expected 100: 200 came after the log ends (1970-01-02" in verdict.text


@pytest.mark.parametrize(("differing", "state"), [(5, "fail"), (4, "pass")])
def test_where_the_log_is_older_than_the_requests_their_features_decide(differing: int, state: str) -> None:
    """The store's columns cannot be compared then; those of few requests are not looked at."""
    verdict = skew_verdict(counts({(STORE, "age"): 50, (FEATURES, "hour"): differing}, store=99), 86_400.0, CONFIG)
    assert verdict.state == state and "store age" not in verdict.text
    if state == "pass":
        assert "no column differs in more than 1.0%; the store's columns could not be compared" in verdict.text
        assert "of 500 requests 200 came after the log ends (1970-01-02" in verdict.text


def test_without_kept_requests_there_is_no_gate(releases, live) -> None:
    assert sampled_verdict(releases.store, releases.live, live, releases.users, CONFIG) is None
