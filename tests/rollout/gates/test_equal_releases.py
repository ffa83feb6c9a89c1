"""A release as good as the live one is refused seldom, whoever the users are and whatever chance adds to its scores."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from gate_releases import taken_by_chance

from cascade.rollout.config import GatesConfig
from cascade.rollout.gates import answers, calibration, quality, scores, spread
from cascade.rollout.gates.measure import MeasuredRelease, catalogue_of, item_ids_of, measure
from cascade.rollout.gates.verdict import GateVerdict

DRAWS, USERS = 200, 300
NOISE = 0.1
"""Standard deviation of what chance adds to each logit."""
CONFIG = GatesConfig(min_slice_users=40)


def noisy(live: MeasuredRelease, rng: np.random.Generator) -> MeasuredRelease:
    """The same candidates with slightly different scores, and the lists that follow from these."""
    logits = live.logits + rng.normal(0, NOISE, live.logits.shape).astype(np.float32)
    best = np.argsort(-np.where(live.candidates >= 0, logits, -np.inf), axis=1)[:, : live.asked]
    chance = 1 / (1 + np.exp(-np.take_along_axis(logits, best, axis=1)))
    return replace(live, logits=logits, answers=np.take_along_axis(live.candidates, best, axis=1), scores=chance)


def verdicts(
    candidate: MeasuredRelease, live: MeasuredRelease, requests, catalogue, config: GatesConfig
) -> Iterator[GateVerdict]:
    relevant = quality.relevant_items(requests, catalogue)
    yield scores.scores_verdict(candidate, live, config)
    yield scores.shift_verdict(candidate, live, config)
    yield answers.answers_verdict(candidate, live, config)
    yield spread.spread_verdict(candidate, live, config)
    yield quality.quality_verdict(candidate, live, relevant, config)
    yield quality.slices_verdict(candidate, live, requests, catalogue, config)
    yield calibration.calibration_verdict(candidate, live, relevant, config)


@pytest.mark.slow
def test_at_most_one_in_a_hundred_equal_releases_is_refused(live) -> None:
    refused, passed = [], 0
    catalogue = catalogue_of([item_ids_of(live)])
    for seed in range(DRAWS):
        rng, requests = np.random.default_rng(seed), taken_by_chance(live, USERS, seed)
        asked = measure(live, requests, catalogue)
        one, other = noisy(asked, rng), noisy(asked, rng)
        found = [*verdicts(one, other, requests, catalogue, CONFIG.model_copy(update={"seed": seed}))]
        refused += [(seed, verdict.gate) for verdict in found if verdict.state == "fail"]
        passed += all(verdict.state == "pass" for verdict in found)
    assert len({seed for seed, _ in refused}) <= DRAWS / 100, refused
    assert passed > 0.95 * DRAWS, "an equal release does not only not fail, it passes"
