"""Bootstrap intervals of the metrics in metrics.json, and of the differences between methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.special import expit

from ..models import metrics
from .bootstrap import Bootstrap, Interval, Sums
from .ranking import RankedRows

Draws = dict[str, NDArray[np.float64]]
"""Metric -> its value in each draw [replicates]."""
UserValues = Mapping[str, metrics.Values]
"""Metric -> its value for each user [U]."""
HEADLINE = "ndcg@10"
"""The metric in which recommended lists are compared."""
RETRIEVED = ("recall@10", "recall@100")
"""The metrics in which retrievers are compared."""
Difference = dict[str, float]
"""``value``, ``low`` and ``high``."""
AUC_BINS = 256
"""A draw's AUC is computed on binned scores. The bins are cut at this many quantiles of each class."""


def list_intervals(values: UserValues, bootstrap: Bootstrap) -> dict[str, Interval]:
    """The interval of each metric's mean over users."""
    return dict(zip(values, bootstrap.means(np.stack([*values.values()], axis=1)), strict=True))


def differences(methods: Mapping[str, UserValues], bootstrap: Bootstrap) -> dict[str, dict[str, Difference]]:
    """The differences between methods, paired by user, with their intervals.

    The cascade is compared in NDCG@10 with the retriever and with the best baseline, the retriever in recall with each
    baseline.
    """
    baselines = [name for name in methods if name not in ("retrieval", "served_retrieval", "cascade")]
    best = sorted(baselines, key=lambda name: methods[name][HEADLINE].mean())[-1:]
    pairs = [("cascade", name, (HEADLINE,)) for name in ("retrieval", *best)]
    pairs += [("retrieval", name, RETRIEVED) for name in baselines]  # type: ignore[misc]
    return {
        f"{ours} - {other}": {m: _apart(methods[ours][m] - methods[other][m], bootstrap) for m in metrics}
        for ours, other, metrics in pairs
    }


def _apart(values: metrics.Values, bootstrap: Bootstrap) -> Difference:
    low, high = bootstrap.means(values[:, None])[0]
    return {"value": float(values.mean()), "low": low, "high": high}


def ranking_intervals(
    rows: RankedRows, measured: Mapping[str, float | None], bootstrap: Bootstrap
) -> dict[str, Interval | None]:
    """The intervals of the ranker's ``measured`` auc, gauc, logloss and ece; None for a metric that is None."""
    draws = ranking_draws(rows, measured, bootstrap)
    return {name: None if value is None else bootstrap.interval(value, draws[name]) for name, value in measured.items()}


def ranking_draws(rows: RankedRows, measured: Mapping[str, float | None], bootstrap: Bootstrap) -> Draws:
    """The value in each draw of each metric in ``measured`` that is not None.

    In a draw's AUC, scores in the same bin count as equal, which changes it by less than 1 / AUC_BINS.
    """
    owner = np.unique(rows.users, return_inverse=True)[1]
    parts = {"auc": _auc_totals, "gauc": _gauc_totals, "logloss": _logloss_totals, "ece": _ece_totals}
    totals = {name: part(rows, owner) for name, part in parts.items() if measured[name] is not None}
    sums = bootstrap.sums(hstack([*totals.values()], format="csr"))
    ends = np.cumsum([part.shape[1] for part in totals.values()])[:-1]
    of = {"auc": _auc, "gauc": _ratio, "logloss": _ratio, "ece": _ece}
    return {name: of[name](own) for name, own in zip(totals, np.split(sums, ends, axis=1), strict=True)}


def ranking_differences(
    ours: tuple[Mapping[str, float | None], Draws], theirs: tuple[Mapping[str, float | None], Draws],
    bootstrap: Bootstrap,
) -> dict[str, Difference]:  # fmt: skip
    """The differences of our metrics from theirs on the same rows, with their intervals.

    Args:
        ours: our metrics, and their values in draws of the same users as in ``theirs``.
    """
    found = {}
    for name in ours[1]:
        value = float(ours[0][name] or 0) - float(theirs[0][name] or 0)
        low, high = bootstrap.interval(value, ours[1][name] - theirs[1][name])
        found[name] = {"value": value, "low": low, "high": high}
    return found


def _per_user(owner: NDArray[np.int64], column: NDArray[np.int64], weights: NDArray[Any], width: int) -> csr_matrix:
    """The sums of ``weights`` [M] by user and column, [U, width]."""
    shape = (int(owner.max(initial=-1)) + 1, width)
    return csr_matrix((np.asarray(weights, np.float64), (owner, column)), shape=shape)


def _auc_totals(rows: RankedRows, owner: NDArray[np.int64]) -> csr_matrix:
    """The numbers of negatives in each bin, in ascending order of scores, then those of positives: [U, 2 * bins]."""
    share = np.linspace(0, 1, AUC_BINS + 1)[1:-1]
    cuts = np.unique([np.quantile(rows.logits[rows.label == kind], share) for kind in (False, True)])
    bins = np.searchsorted(cuts, rows.logits) + rows.label * (len(cuts) + 1)
    return _per_user(owner, bins, np.ones(len(rows)), 2 * (len(cuts) + 1))


def _auc(sums: Sums) -> NDArray[np.float64]:
    negatives, positives = np.split(sums, 2, axis=-1)
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = (positives * below).sum(-1) / (positives.sum(-1) * negatives.sum(-1))
    return found


def _gauc_totals(rows: RankedRows, owner: NDArray[np.int64]) -> csr_matrix:
    """rows * AUC, and rows, of each user; 0 for a user without both labels: [U, 2]."""
    count = np.bincount(owner)
    auc = metrics.grouped_auc(rows.logits, rows.label, owner, len(count))
    known = np.isfinite(auc)
    return csr_matrix(np.stack([np.where(known, auc * count, 0), np.where(known, count, 0)], axis=1))


def _logloss_totals(rows: RankedRows, owner: NDArray[np.int64]) -> csr_matrix:
    """The summed log-loss, in nats, and the rows of each user: [U, 2]."""
    logits = rows.logits.astype(np.float64)
    loss = np.logaddexp(0, np.where(rows.label, -logits, logits))
    return csr_matrix(np.stack([np.bincount(owner, loss), np.bincount(owner)], axis=1))


def _ratio(sums: Sums) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return found


def _ece_totals(rows: RankedRows, owner: NDArray[np.int64]) -> csr_matrix:
    """The summed difference of probability and label in each bin of equally many rows, then the rows: [U, bins + 1]."""
    chance = expit(rows.logits.astype(np.float64))
    apart = _per_user(owner, metrics.equal_bins(chance), chance - rows.label, metrics.BINS)
    return hstack([apart, csr_matrix(np.bincount(owner)[:, None])], format="csr")


def _ece(sums: Sums) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.abs(sums[..., :-1]).sum(-1) / sums[..., -1]
    return found
