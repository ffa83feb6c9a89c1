"""What is judged without users, without a live release, or with files that cannot be read."""

import dataclasses
from typing import Any

import pytest
from gate_releases import BAD, MODEL, NoUsers, Releases

from cascade.core.errors import ReleaseError
from cascade.ensemble.graph.executor import Executor
from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.repeatable import repeatable_verdict
from cascade.rollout.gates.verify import verify

WITHOUT_LIVE = {"digests", "leaks", "catalogue", "loaded", "repeatable", "index", "scores", "answers"}


def as_it_was(version) -> None:
    """No change."""


def test_files_that_were_changed_are_named_and_nothing_else_is_asked(releases: Releases) -> None:
    releases.keep(lambda version: (version / "graph.json").write_text("{}"), late=True)
    [verdict] = releases.judge().verdicts
    assert (verdict.gate, verdict.state) == ("digests", "fail") and "graph.json" in verdict.text


def test_without_a_live_release_its_gates_are_left_out(releases: Releases) -> None:
    releases.keep(as_it_was)
    for live in (None, BAD):
        report = verify(releases.store, BAD, live, GatesConfig(), releases.users)
        assert {verdict.gate for verdict in report.verdicts} == WITHOUT_LIVE
        assert report.state == "pass" and report.live is None


def test_without_users_what_needs_them_is_inconclusive_and_says_so(releases: Releases) -> None:
    releases.keep(as_it_was)
    report = dataclasses.replace(releases, users=NoUsers(releases.users.given)).judge()
    assert report.state == "inconclusive"
    assert report.of("pass") == ["digests", "catalogue"] and report.of("fail") == []
    assert {verdict.text for verdict in report.verdicts if verdict.gate == "held-out users"} == {"data is gone"}


def test_too_few_users_neither_pass_nor_fail(releases: Releases) -> None:
    releases.keep(as_it_was)
    report = releases.judge(GatesConfig(min_users=5000, min_slice_users=5000, max_latency_ratio=20))
    assert report.state == "inconclusive" and report.of("fail") == []
    needing = ["scores", "answers", "coverage", "score shift", "quality", "slices", "calibration"]
    assert report.of("inconclusive") == needing


def test_a_live_release_that_is_damaged_makes_it_inconclusive(releases: Releases) -> None:
    releases.keep(as_it_was)
    file = releases.store.folder(releases.live) / MODEL / "1" / "graph.json"
    file.write_text("{")
    report = releases.judge()
    assert report.state == "inconclusive" and report.of("inconclusive") == ["live release"]
    assert set(report.of("pass")) == WITHOUT_LIVE


@dataclasses.dataclass
class Moody:
    """Answers every request but the first one with the items in another order."""

    calm: Executor
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.calm, name)

    def run(self, columns: Any) -> Any:
        found, seconds = self.calm.run(columns)
        self.asked += 1
        return found if self.asked == 1 else {**found, "item_ids": found["item_ids"][:, ::-1]}, seconds


def test_another_answer_to_the_same_request_fails(live, requests) -> None:
    assert repeatable_verdict(live, requests).figures == {"differ": 0, "asked": 64}
    moody = repeatable_verdict(Moody(live), requests)
    assert moody.state == "fail" and moody.figures["differ"] == 64


@pytest.mark.parametrize("which", [("gone", None), (BAD, "gone")])
def test_a_release_that_is_not_kept_is_an_error(releases: Releases, which) -> None:
    releases.keep(as_it_was)
    with pytest.raises(ReleaseError, match="gone"):
        verify(releases.store, *which, GatesConfig(), releases.users)
