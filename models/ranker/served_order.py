"""Whose scores order the served list: the retriever's, the DLRM's, or both fused. Chosen on the validation part.

The users of the validation part are divided into `PARTS`. The weights of the fused scores are fitted on all parts but
one and judged on that one, so every figure here is of requests on which nothing was fitted. The retriever is served
unless

- the DLRM knows something that the retriever does not: `evidence` of at least `LEAST_EVIDENCE`; and
- the list is better for it: the metric rises by at least `LEAST_GAIN` of itself.

So the metric of what is served is never below the retriever's on these requests. Both conditions are needed. With a few
hundred requests a metric of the first ten places is mostly noise, where the likelihood of all choices is not; and what
explains the choices better need not show in the list.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..config import DlrmConfig, Order
from .calibration import Logits
from .score_fusion import Fusion, Weights, alone, conditional_logit, fit_weights

log = logging.getLogger(__name__)
PARTS = 5
FUSED_WEIGHT = 0.01
"""Smallest weight of the DLRM with ``order_by: fused``, so that who asks for the ranker gets it."""
LEAST_EVIDENCE = 2.0
"""Standard errors by which the DLRM's weight must be above 0. Noise gets there in 2.3 % of trials."""
SHOWN = {"retriever": "in the retriever's order", "dlrm": "in the ranker's", "fused": "in that of both fused"}
"""How a notice names each order."""
LEAST_GAIN = 0.01
"""A ranker that improves the metric by less than this share of it is not worth its time in every request."""


@dataclass(frozen=True)
class ScoredRequests:
    """Validation requests with the scores of both models."""

    logits: Logits
    """[n, K], the DLRM's; -inf where there is no candidate."""
    cosine: Logits
    """[n, K], the retriever's."""
    label: NDArray[np.bool_]
    """[n, K]; in a list, at most one is True."""
    user: NDArray[np.integer[Any]]
    """[n], who asks."""

    def take(self, keep: NDArray[np.bool_]) -> ScoredRequests:
        return ScoredRequests(self.logits[keep], self.cosine[keep], self.label[keep], self.user[keep])

    def served(self, fusion: Fusion) -> Logits:
        """The served logits [n, K]; -inf where there is no candidate."""
        there = np.isfinite(self.logits)
        known = (np.where(there, values, 0) for values in (self.logits, self.cosine))
        return np.where(there, fusion(*known), -np.inf)

    def mixed(self, weights: Weights) -> Logits:
        """The weighted sum [n, K] of both scores; -inf where there is no candidate."""
        return self.served(Fusion(*weights))


@dataclass(frozen=True)
class OrderChoice:
    """What is served, and what decided it."""

    order: Order
    by: str
    """``dlrm_ranker.choose_by``."""
    valid: Mapping[str, float]
    """That metric of each order, on validation requests on which no weight was fitted."""
    evidence: float
    """See `evidence`."""

    def why_not(self) -> str:
        """What was compared, with figures, and which condition of those above the ranker does not meet."""
        of_each = ", ".join(f"{value:.4f} {SHOWN[name]}" for name, value in self.valid.items())
        lacking = []
        if max(self.valid.values()) < (1 + LEAST_GAIN) * self.valid["retriever"]:
            lacking.append(f"lists that are better by {LEAST_GAIN:.0%} or more")
        if self.evidence < LEAST_EVIDENCE:
            lacking.append(
                "scores that tell more about what users take than the retriever's do, by "
                f"{LEAST_EVIDENCE:g} standard errors or more (it is {self.evidence:.1f})"
            )
        lacking = lacking or ["a weight above 0 for its scores beside the retriever's"]
        return f"Validation lists have {self.by} of {of_each}. What the ranker lacks: {'; and '.join(lacking)}"


def choose_order(
    listed: ScoredRequests, by: str, *, fitted: ScoredRequests | None = None, fused: bool = True, seed: int = 0
) -> OrderChoice:
    """Choose the served order by the metric ``by`` of the retriever's candidates.

    Args:
        listed: the retriever's candidates of validation positives.
        by: ``ndcg@k`` or ``recall@k``.
        fitted: what the weights of the fused scores are fitted on; ``listed`` by default.
        fused: whether the fused scores may be served.
        seed: draws the parts.
    """
    fitted = fitted or listed
    crossed = np.empty_like(listed.logits)
    for part, own in zip(*(parts(rows.user, listed.user, fitted.user, seed) for rows in (listed, fitted)), strict=True):
        rest = fitted.take(~own)
        crossed[part] = listed.take(part).mixed(fit_weights(rest.logits, rest.cosine, rest.label))
    scores = {"retriever": listed.mixed((0.0, 1.0)), "dlrm": listed.logits} | ({"fused": crossed} if fused else {})
    found = {name: list_metric(values, listed.label, by, f"ranker ({name})") for name, values in scores.items()}
    valid = {name: float(values.mean()) if len(values) else 0.0 for name, values in found.items()}
    known = evidence(listed)
    least = (1 + LEAST_GAIN) * valid["retriever"]
    able: list[Order] = [name for name in preferred(found, listed) if valid[name] >= least and valid[name] > 0]
    chosen: Order = able[0] if able and known >= LEAST_EVIDENCE else "retriever"
    return OrderChoice(chosen, by, valid, known)


def weights_of(order: Order, listed: ScoredRequests, least: float) -> Weights:
    """The weights of both scores in an order; in fused scores that of the DLRM is ``least`` or more."""
    if order == "fused":
        return fit_weights(listed.logits, listed.cosine, listed.label, least)
    return (0.0, 1.0) if order == "retriever" else (1.0, 0.0)


def left_out(config: DlrmConfig, choice: OrderChoice | None, fusion: Fusion, *, lists: bool) -> list[str]:
    """A notice, logged as well, if the ranker is left out of the release although the config wants something of it.

    Args:
        choice: why it is left out; None if ``order_by`` decided.
        lists: whether the ranker has learned from lists of candidates.
    """
    if fusion.order != "retriever":
        return []
    if choice is None:
        return idle_weights(config)
    notice = (
        f"dlrm_ranker: the retriever orders the list, and the ranker is left out of the release. {choice.why_not()}. "
        f"dlrm_ranker.order_by: fused (or dlrm) serves the ranker all the same. What may improve it: {_helps(lists)}"
    )
    log.warning(notice)
    return [notice, *idle_weights(config)]


def _helps(lists: bool) -> str:
    """One thing to try for a ranker that orders lists no better than the retriever."""
    if lists:
        return "more columns about users, items or requests for it to learn from (schema)"
    return "dlrm_ranker.train_on: both, which learns from lists of candidates beside the logged impressions"


def idle_weights(config: DlrmConfig) -> list[str]:
    """A notice, logged as well, that the weights of several labels do not order a list that the retriever orders."""
    if len(config.labels) < 2:
        return []
    weights = ", ".join(f"{name} {label.serve:g}" for name, label in config.labels.items())
    notice = (
        f"dlrm_ranker.labels: the serve weights ({weights}) do not change the order of the list, because the retriever "
        "orders it; with dlrm_ranker.order_by: dlrm the weighted mean of the labels orders it"
    )
    log.warning(notice)
    return [notice]


def unjudged(config: DlrmConfig) -> tuple[Fusion, list[str]]:
    """What is served without validation requests: one score as it is, and a notice if something else is configured.

    A ranker that was never judged does not replace the retriever, unless it is asked for.
    """
    wanted = config.order_by
    order = {"auto": "retriever", "fused": "dlrm"}.get(wanted, wanted)
    fusion = alone((0.0, 1.0) if order == "retriever" else (1.0, 0.0))
    idle = idle_weights(config) if order == "retriever" else []
    if order == wanted:
        return fusion, idle
    notice = (
        f"dlrm_ranker.order_by: {wanted} needs a validation part with positives and negatives, and there is none, so "
        f"it is {order}"
    )
    if order == "retriever":
        notice += ": the ranker is left out of the release, because nothing shows that it is better (order_by: dlrm)"
    log.warning(notice)
    return fusion, [notice, *idle]


def preferred(found: Mapping[str, metrics.Values], listed: ScoredRequests) -> list[Order]:
    """The orders that need the ranker, the better one first.

    A difference within its standard error is a tie. The fused scores win it if there is evidence for the retriever
    beside the DLRM, else the DLRM alone, which is simpler.

    Args:
        found: order -> its metric [n] of each request.
    """
    if "fused" not in found or not len(listed.user):
        return ["dlrm"]
    more = found["fused"] - found["dlrm"]
    error = more.std() / np.sqrt(len(more))
    swapped = ScoredRequests(listed.mixed((0.0, 1.0)), listed.logits, listed.label, listed.user)
    wins = more.mean() > 0 if abs(more.mean()) > error else evidence(swapped) >= LEAST_EVIDENCE
    return ["fused", "dlrm"] if wins else ["dlrm", "fused"]


def parts(
    rows: NDArray[np.integer[Any]], listed: NDArray[np.integer[Any]], fitted: NDArray[np.integer[Any]], seed: int
) -> list[NDArray[np.bool_]]:
    """For each part of the users who ask in ``listed`` or ``fitted``: which of ``rows`` [n] are theirs, bool [n]."""
    users = np.random.default_rng(seed).permutation(np.unique(np.concatenate([listed, fitted])))
    return [np.isin(rows, users[at::PARTS]) for at in range(PARTS)]


def list_metric(scores: Logits, label: NDArray[np.bool_], by: str, of: str) -> metrics.Values:
    """A metric [n] of requests with scores and labels [n, K]; 0 where the positive is no candidate.

    Raises:
        DivergedError: if a score is NaN; ``of`` says what was scored.
    """
    kind, _, k = by.partition("@")
    ranks = metrics.target_ranks(scores, np.where(label.any(axis=1), label.argmax(axis=1), -1), of)
    return {"ndcg": metrics.target_ndcg, "recall": metrics.target_recall}[kind](ranks, int(k))


def evidence(listed: ScoredRequests) -> float:
    """How many standard errors the DLRM's weight is above 0, beside the retriever's cosine.

    The score test of a conditional logit: the slope of the log-likelihood along the DLRM's logit, where the cosine
    alone is fitted (Rao, "Large sample tests of statistical hypotheses", 1948). Its variance is that of the users'
    slopes, because a user's requests resemble each other. 0 if no positive is among the candidates.
    """
    from scipy.special import softmax

    listed = listed.take(listed.label.any(axis=1))
    there = np.isfinite(listed.logits)
    if not len(there):
        return 0.0
    (weight,) = conditional_logit(listed.mixed((0.0, 1.0))[..., None], listed.label, (np.inf,))
    x = np.where(there[..., None], np.stack([listed.logits, listed.cosine], axis=-1), 0).astype(np.float64)
    chance = softmax(np.where(there, weight * x[..., 1], -np.inf), axis=1)
    x -= np.einsum("nk,nkc->nc", chance, x)[:, None]
    spread = np.einsum("nk,nkc,nk->c", chance, x, x[..., 1])
    slopes = x[np.arange(len(x)), listed.label.argmax(axis=1)] @ [1, -spread[0] / spread[1] if spread[1] > 0 else 0]
    of_user = np.bincount(np.unique(listed.user, return_inverse=True)[1], slopes)
    error = np.sqrt((of_user**2).sum())
    return float(of_user.sum() / error) if error > 0 else 0.0
