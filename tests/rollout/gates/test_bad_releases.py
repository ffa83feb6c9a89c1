"""Each bad release is refused, by the gate that should; the live release itself is not."""

import pytest
from bad_releases import BAD_RELEASES

from cascade.rollout.config import GatesConfig


@pytest.mark.parametrize("name", BAD_RELEASES)
def test_a_bad_release_is_refused_by_the_gate_that_should(releases, name) -> None:
    spoil, gate = BAD_RELEASES[name]
    releases.keep(spoil)
    report = releases.judge()
    assert report.state == "fail"
    assert gate in report.of("fail"), report.verdicts


def test_an_equal_release_passes_every_gate(releases) -> None:
    releases.keep(lambda version: None)
    report = releases.judge(GatesConfig(max_latency_ratio=20))  # this machine may be busy
    assert report.state == "pass", report.verdicts
    assert len(report.verdicts) == 14
