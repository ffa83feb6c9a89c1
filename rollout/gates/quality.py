"""Whether a release finds as much of what users took as the live one, paired by user: as a whole, and in each slice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...evaluation.bootstrap import Bootstrap
from ...evaluation.ranking_lists import LIST
from ...models import metrics
from ..config import GatesConfig
from .measure import MeasuredRelease, places
from .requests import HeldOutRequests
from .verdict import GateVerdict, State, judged, unknown

QUALITY, SLICES = "quality", "slices"
NAMES = (f"ndcg@{LIST}", f"recall@{LIST}")


def relevant_items(
    requests: HeldOutRequests, catalogue: NDArray[Any], pairs: NDArray[np.bool_] | None = None
) -> csr_matrix:
    """bool [U, items of the catalogue], the items that each user took.

    Args:
        pairs: bool [P], which of them count; all by default.
    """
    own = slice(None) if pairs is None else pairs
    owners, items = requests.owners[own], places(requests.items[own], catalogue)
    shape = len(requests), len(catalogue)
    return csr_matrix((np.ones(len(items), bool), (owners, items)), shape=shape, dtype=bool)


def list_values(answers: NDArray[np.int64], relevant: csr_matrix) -> NDArray[np.float64]:
    """NDCG@10 and recall@10 [U, 2] of lists [U, R]."""
    hits, counts = metrics.find_hits(answers, relevant)
    return np.stack([metrics.ndcg(hits, counts, LIST), metrics.recall(hits, counts, LIST)], axis=1)


def quality_verdict(
    candidate: MeasuredRelease, live: MeasuredRelease, relevant: csr_matrix, config: GatesConfig
) -> GateVerdict:
    """Non-inferiority: pass if the interval of the difference lies above the margin, fail if it lies below.

    Figures: ``users``; of each metric the value, ``live <metric>``, and the interval of the relative difference,
    ``<metric> change low`` and ``high``.
    """
    now, before = _both(candidate, live, relevant)
    figures: dict[str, float | None] = {"users": len(now)}
    if len(now) < config.min_users or not before.mean(axis=0).min(initial=1):
        why = f"{len(now):,} users" if len(now) < config.min_users else "the live release finds nothing"
        return unknown(QUALITY, f"{why}; expected {config.min_users:,} users, with hits of the live release", figures)
    states, texts = set[State](), []
    intervals = Bootstrap(seed=config.seed).means(now - before)
    for at, (name, interval) in enumerate(zip(NAMES, intervals, strict=True)):
        mean = before[:, at].mean()
        low, high = interval[0] / mean, interval[1] / mean
        figures |= {name: float(now[:, at].mean()), f"live {name}": float(mean)}
        figures |= {f"{name} change low": float(low), f"{name} change high": float(high)}
        states.add(_state(low, high, config.quality_margin))
        texts.append(f"{name} {now[:, at].mean():.4f}, live {mean:.4f} ({low:+.1%} to {high:+.1%})")
    text = f"{'; '.join(texts)}; allowed: {-config.quality_margin:.1%}"
    return GateVerdict(QUALITY, next(s for s in ("fail", "inconclusive", "pass") if s in states), text, figures)


def slices_verdict(
    candidate: MeasuredRelease,
    live: MeasuredRelease,
    requests: HeldOutRequests,
    catalogue: NDArray[Any],
    config: GatesConfig,
) -> GateVerdict:
    """fail if a slice surely loses more NDCG@10 than the margin; a slice that only may lose more does not.

    The intervals are so wide that with no difference all slices together fail 2.5 % of the releases at most, see
    Bonferroni. Figures: of each slice that has enough users, the relative change of NDCG@10.
    """
    found = {}
    for name, pairs in requests.slices.items():
        now, before = _both(candidate, live, relevant_items(requests, catalogue, pairs))
        if len(now) >= config.min_slice_users and before[:, 0].mean() > 0:
            found[name] = now[:, :1] - before[:, :1], before[:, 0].mean()
    if not found:
        return unknown(SLICES, f"no slice has {config.min_slice_users:,} users, and hits of the live release")
    bootstrap = Bootstrap(seed=config.seed)
    bootstrap = replace(bootstrap, level=1 - (1 - bootstrap.level) / len(found))
    figures, faults = dict[str, float | None](), []
    for name, (apart, mean) in found.items():
        low, high = (each / mean for each in bootstrap.means(apart)[0])
        figures[name] = float(apart.mean() / mean)
        if high < -config.slice_margin:
            faults.append(
                f"{name}: NDCG@{LIST} changes by {low:+.1%} to {high:+.1%}, allowed: {-config.slice_margin:.1%}"
            )
    good = f"{len(found)} of {len(requests.slices)} slices have enough users; none surely loses"
    return judged(SLICES, faults, good, figures)


def _both(
    candidate: MeasuredRelease, live: MeasuredRelease, relevant: csr_matrix
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The metrics [V, 2] of both releases, of the V users with a relevant item."""
    some = np.diff(relevant.indptr) > 0
    return list_values(candidate.answers[some], relevant[some]), list_values(live.answers[some], relevant[some])


def _state(low: float, high: float, margin: float) -> State:
    return "pass" if low >= -margin else "fail" if high < -margin else "inconclusive"
