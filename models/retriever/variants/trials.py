"""Trials of variants: as many as there is time for, and which of them is better by more than chance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.errors import CascadeError
from ... import metrics
from .settings import Variant

log = logging.getLogger(__name__)
LEAST_EVIDENCE = 2.0
"""Standard errors by which another variant must be better than the configured towers."""

Watch = Callable[[str, int, float], None]
Score = Callable[[Variant, Watch], metrics.Values]
"""Trains a variant, calls the watch after each epoch, and returns the NDCG [n] of each validation event."""


class OutOfTimeError(Exception):
    """The time for all variants is up."""


@dataclass(frozen=True)
class Trial:
    """How a variant did."""

    variant: Variant
    seconds: float
    ndcg: metrics.Values | None = None
    """[n], of each validation event."""
    why: str | None = None
    """Why it has no NDCG."""


def tried(every: Sequence[Variant], score: Score, minutes: float, clock: Callable[[], float]) -> list[Trial]:
    """A trial of each variant, as far as there is time; a variant whose training fails is no candidate."""
    end = clock() + 60 * minutes

    def watch(title: str, epoch: int, value: float) -> None:
        if clock() >= end:
            raise OutOfTimeError

    trials = []
    for variant in every:
        begun = clock()
        if begun >= end:
            trials.append(Trial(variant, 0.0, why="not begun in time"))
            continue
        try:
            ndcg, why = score(variant, watch), None
        except OutOfTimeError:
            ndcg, why = None, "not ended in time"
        except CascadeError as error:
            ndcg, why = None, str(error)
            log.warning("two_tower.auto: %s is left out: %s", variant.name, error)
        trials.append(Trial(variant, clock() - begun, ndcg, why))
    return trials


def best(trials: Sequence[Trial], users: NDArray[np.integer[Any]]) -> int:
    """Which variant is trained; 0, the configured towers, if none is better by more than chance.

    Args:
        users: [n], the user of each validation event.
    """
    if not trials or (own := trials[0].ndcg) is None:
        return 0
    chosen, highest = 0, -np.inf
    for at, trial in enumerate(trials):
        if at == 0 or trial.ndcg is None:
            continue
        gain, error = difference(trial.ndcg, own, users)
        if gain > LEAST_EVIDENCE * error and gain > max(highest, 0):
            chosen, highest = at, gain
    return chosen


def difference(ours: metrics.Values, theirs: metrics.Values, users: NDArray[np.integer[Any]]) -> tuple[float, float]:
    """The mean difference of values [n] of the same events, and its standard error; a user's events are no n trials."""
    apart = ours - theirs
    mean = apart.mean()
    of_user = np.bincount(np.unique(users, return_inverse=True)[1], apart - mean)
    return float(mean), float(np.sqrt((of_user**2).sum()) / len(apart))


def summary(trials: Sequence[Trial], users: NDArray[np.integer[Any]]) -> dict[str, dict[str, Any]]:
    """Name of each variant -> what the artifact's metrics say of it."""
    found = {}
    for trial in trials:
        facts: dict[str, Any] = {"seconds": round(trial.seconds, 1)}
        if trial.ndcg is None:
            facts |= {"left_out": trial.why}
        else:
            facts |= {"ndcg": float(trial.ndcg.mean())}
            if trial is not trials[0] and trials[0].ndcg is not None:
                gain, error = difference(trial.ndcg, trials[0].ndcg, users)
                facts |= {"gain": gain, "standard_error": error}
        found[trial.variant.name] = facts
    return found


def line(name: str, facts: Mapping[str, Any]) -> str:
    """What is logged of a trial."""
    if "ndcg" not in facts:
        return f"{name}: {facts['left_out']}"
    gain = f" ({facts['gain']:+.4f}, standard error {facts['standard_error']:.4f})" if "gain" in facts else ""
    return f"{name}: NDCG {facts['ndcg']:.4f}{gain} in {facts['seconds']:.0f} s"


def unfinished(trials: Sequence[Trial], minutes: float) -> list[str]:
    """A notice if time was not enough for all."""
    late = [trial.variant.name for trial in trials if trial.ndcg is None]
    if not late:
        return []
    if trials[0].ndcg is None:
        return [
            f"two_tower.auto: the configured towers have no result ({trials[0].why}), so there is nothing to compare "
            f"with and they stay; raise two_tower.auto_minutes, which is {minutes:g}"
        ]
    return [
        f"two_tower.auto: {len(late)} of {len(trials)} settings have no result ({'; '.join(late)}); for more of them "
        f"raise two_tower.auto_minutes, which is {minutes:g}"
    ]
