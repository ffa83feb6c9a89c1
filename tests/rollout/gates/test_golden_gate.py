"""A release that no longer answers what it has recorded at its export."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from bad_releases import ids, params, weights
from gate_releases import BAD, Releases

from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.repository.golden import GOLDEN, Golden
from cascade.ensemble.repository.golden_requests import AS_LOGGED, UNKNOWN, GoldenRequests
from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.golden import NAME, golden_verdict
from cascade.rollout.gates.verify import verify

COUNT = 40


@pytest.fixture(scope="module")
def golden(live: Executor) -> Golden:
    users = np.arange(100, 100 + COUNT)[:, None]  # 20 of them are known
    kinds = np.where(users[:, 0] < 120, AS_LOGGED, UNKNOWN)
    columns = {"user_id": users, "hour": np.arange(COUNT)[:, None] % 24}
    return Golden.record(live, GoldenRequests(columns, kinds))


def verdict_on(releases: Releases, golden: Golden, spoil):
    def with_golden(version: Path) -> None:
        golden.save(version / GOLDEN)
        spoil(version)

    releases.keep(with_golden)
    report = verify(releases.store, BAD, None, GatesConfig(), releases.users)
    return next(verdict for verdict in report.verdicts if verdict.gate == NAME)


def test_the_release_itself_passes(releases, golden) -> None:
    verdict = verdict_on(releases, golden, lambda version: None)
    assert (verdict.state, verdict.figures) == ("pass", {"asked": COUNT, "differ": 0})


def test_a_release_without_recorded_answers_is_not_asked(releases) -> None:
    releases.keep(lambda version: None)
    report = verify(releases.store, BAD, None, GatesConfig(), releases.users)
    assert NAME not in [verdict.gate for verdict in report.verdicts]


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (weights("rank", lambda name, value: value * 2), "scores"),
        (weights("encode_query", lambda name, value: -value), "items"),
        (ids("item_id", lambda column: column[::-1]), "items"),
        (params("order", min_score=0.999999), "numbers of items"),
    ],
)
def test_a_changed_release_fails_and_says_in_what(releases, golden, spoil, what: str) -> None:
    verdict = verdict_on(releases, golden, spoil)
    assert verdict.state == "fail" and verdict.figures[what] > 0
    assert f"of {COUNT} answers are not those at its export: request " in verdict.text


def test_one_other_answer_in_forty_is_found_and_counted(live, golden) -> None:
    scores = golden.answers["scores"].copy()
    scores[33] += 0.01
    changed = Golden(golden.requests, golden.users, {**golden.answers, "scores": scores})
    verdict = golden_verdict(changed, live, GatesConfig())
    assert verdict.figures == {"asked": COUNT, "differ": 1, "scores": 1}
    assert verdict.state == "fail" and "request 33 (unknown user): other scores" in verdict.text
    assert golden_verdict(changed, live, GatesConfig(max_golden_differ=0.025)).state == "pass"


def test_a_release_that_cannot_answer_fails(releases, golden, live) -> None:
    def no_ranker(version: Path) -> None:
        shutil.rmtree(version / "nodes" / "06_rank")

    releases.keep(no_ranker)
    assert verify(releases.store, BAD, None, GatesConfig(), releases.users).state == "fail"
    wrong = GoldenRequests({**golden.requests.columns, "hour": np.zeros((COUNT, 2), np.int64)}, golden.requests.kinds)
    verdict = golden_verdict(Golden(wrong, golden.users, golden.answers), live, GatesConfig())
    assert verdict.state == "fail" and "it cannot answer" in verdict.text and "hour" in verdict.text
