"""Figures of a shadow, from the metrics of two processes."""

import pytest

from cascade.rollout.canary.scrape import parse
from cascade.rollout.canary.shadow_figures import Differences, ShadowFigures

PAGE = """
# HELP recsys_shadow_users_total Users
recsys_shadow_requests_total{model="shop",pid="1",shadow="shadow",release="r",outcome="answered"} 3
recsys_shadow_requests_total{model="shop",pid="2",shadow="shadow",release="r",outcome="answered"} 1
recsys_shadow_requests_total{model="shop",pid="2",shadow="shadow",release="r",outcome="dropped"} 2
recsys_shadow_requests_total{model="shop",pid="2",shadow="shadow",release="other",outcome="dropped"} 9
recsys_shadow_users_total{model="shop",pid="1",shadow="shadow",release="r",users="known"} 6
recsys_shadow_users_total{model="shop",pid="2",shadow="shadow",release="r",users="unknown"} 2
recsys_shadow_overlap_total{model="shop",pid="1",shadow="shadow",release="r",users="known"} 3
recsys_shadow_overlap_total{model="shop",pid="2",shadow="shadow",release="r",users="unknown"} 2
recsys_shadow_rank_biased_overlap_total{model="shop",pid="1",shadow="shadow",release="r",users="known"} 1.5
recsys_shadow_top_score_change_sum{model="shop",pid="1",shadow="shadow",release="r",users="known"} -0.6
recsys_shadow_other_reasons_total{model="shop",pid="2",shadow="shadow",release="r",users="unknown"} 1
recsys_shadow_timed_requests_total{model="shop",pid="1",shadow="shadow",release="r"} 1
recsys_shadow_timed_requests_total{model="shop",pid="2",shadow="shadow",release="r"} 1
recsys_shadow_stage_seconds_total{model="shop",pid="1",shadow="shadow",release="r",by="stable",stage="rank"} 0.006
recsys_shadow_stage_seconds_total{model="shop",pid="2",shadow="shadow",release="r",by="stable",stage="rank"} 0.002
recsys_shadow_stage_seconds_total{model="shop",pid="1",shadow="shadow",release="r",by="shadow",stage="rank"} 0.012
"""


def test_they_are_means_over_users_and_passes() -> None:
    found = ShadowFigures.of(parse(PAGE), "r")
    assert found.requests == {"answered": 4, "failed": 0, "dropped": 2}
    assert found.users["known"] == Differences(6, 0.5, 0.25, pytest.approx(-0.1), 0)
    assert found.users["unknown"] == Differences(2, 1.0, 0, 0, 0.5)
    assert found.users["all"] == Differences(8, 5 / 8, 1.5 / 8, pytest.approx(-0.6 / 8), 1 / 8)
    assert found.stages == {"rank": (pytest.approx(4.0), pytest.approx(6.0))}


def test_without_answers_there_are_no_means() -> None:
    assert ShadowFigures.of({}, "r").users == {} == ShadowFigures.of({}, "r").stages
