"""Whose scores order the served list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp

from cascade.core.errors import DivergedError
from cascade.models.config import DlrmConfig
from cascade.models.ranker.score_fusion import Fusion
from cascade.models.ranker.served_order import (
    LEAST_EVIDENCE,
    LEAST_GAIN,
    PARTS,
    OrderChoice,
    ScoredRequests,
    choose_order,
    evidence,
    left_out,
    list_metric,
    parts,
    unjudged,
)

MORE = "scores that tell more about what users take than the retriever's do, by 2 standard errors or more"


def requests(logit_weight, cosine_weight, n=1500, k=20, seed=0, noise=1.0):
    """Users choose one of k candidates by the weighted sum of what both models say; everything else is chance."""
    rng = np.random.default_rng(seed)
    logits, cosine = noise * rng.normal(size=(n, k)), rng.uniform(-1, 1, (n, k))
    taste = logit_weight * logits + cosine_weight * cosine + rng.gumbel(size=(n, k))
    label = taste == taste.max(axis=1, keepdims=True)
    return ScoredRequests(logits.astype("f4"), cosine.astype("f4"), label, np.arange(n) // 3)


@pytest.mark.parametrize(
    ("weights", "order"),
    [((0.0, 3.0), "retriever"), ((-1.0, 3.0), "retriever"), ((1.0, 0.0), "dlrm"), ((1.0, 3.0), "fused")],
)
@pytest.mark.parametrize("seed", range(3))
def test_what_made_the_choices_orders_the_list(weights, order, seed):
    found = choose_order(requests(*weights, seed=seed), "ndcg@10")
    assert found.order == order
    assert found.valid.keys() == {"retriever", "dlrm", "fused"}


def test_without_calibration_scores_are_not_fused():
    found = choose_order(requests(1.0, 3.0), "ndcg@10", fused=False)
    assert found.valid.keys() == {"retriever", "dlrm"} and found.order in ("retriever", "dlrm")


def test_noise_is_left_out_in_nearly_all_trials():
    kept = [choose_order(requests(0.0, 2.0, n=150, seed=seed), "ndcg@10").order for seed in range(40)]
    assert kept.count("retriever") >= 38


def test_a_metric_by_hand():
    """The positive is first, then third, then tied for first with another, then no candidate at all."""
    none = -np.inf
    scores = np.array([[3, 2, 1, none], [3, 2, 1, 0], [1, 1, 0, none], [2, 1, 0, none]], "f4")
    label = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    tied = 1 / np.log2(2.5)
    np.testing.assert_allclose(list_metric(scores, label, "ndcg@10", "x"), [1, 0.5, tied, 0])
    np.testing.assert_allclose(list_metric(scores, label, "ndcg@2", "x"), [1, 0, tied, 0])
    np.testing.assert_allclose(list_metric(scores, label, "recall@1", "x"), [1, 0, 1, 0])


def test_the_metric_that_is_named_decides():
    """The DLRM brings the positive from place 3 to 2 in most lists, and out of the first five in the others."""
    n, k = 400, 8
    cosine = np.tile(np.linspace(0.9, 0.2, k), (n, 1)).astype("f4")
    logits, label = np.zeros((n, k), "f4"), np.zeros((n, k), bool)
    label[:, 2] = True
    rare = np.arange(n) % 20 == 0
    logits[~rare], logits[rare] = [9, 7, 8, 6, 5, 4, 3, 2], [9, 8, 1, 7, 6, 5, 4, 3]
    rows = ScoredRequests(logits, cosine, label, np.arange(n))
    assert choose_order(rows, "ndcg@3", fused=False).valid["dlrm"] == pytest.approx(0.95 / np.log2(3))
    assert choose_order(rows, "ndcg@3", fused=False).order == "dlrm"
    assert choose_order(rows, "recall@3", fused=False).order == "retriever"


def test_evidence_is_the_score_test():
    """The slope and the curvature of the log-likelihood by finite differences; each user asks once."""
    rows = requests(0.3, 2.0, n=200, k=6)
    rows = ScoredRequests(rows.logits, rows.cosine, rows.label, np.arange(200))

    def likelihood(a, b):
        line = a * rows.logits.astype(float) + b * rows.cosine.astype(float)
        return line[rows.label] - logsumexp(line, axis=1)

    b = minimize(lambda b: -likelihood(0, b[0]).sum(), [1.0]).x[0]
    step = 1e-4
    slopes = [
        (likelihood(*high) - likelihood(*low)) / (2 * step)
        for high, low in (((step, b), (-step, b)), ((0, b + step), (0, b - step)))
    ]
    mixed = sum(i * j * likelihood(i * step, b + j * step).sum() for i in (1, -1) for j in (1, -1)) / (4 * step**2)
    curved = sum(f * likelihood(0, b + j * step).sum() for f, j in ((1, 1), (-2, 0), (1, -1))) / step**2
    own = slopes[0] - mixed / curved * slopes[1]
    assert evidence(rows) == pytest.approx(own.sum() / np.sqrt((own**2).sum()), rel=1e-3)


def test_evidence_is_that_of_users_not_of_requests():
    once = requests(0.2, 2.0, n=100)
    often = ScoredRequests(
        *(np.repeat(values, 9, axis=0) for values in (once.logits, once.cosine, once.label)), np.repeat(once.user, 9)
    )
    assert evidence(often) == pytest.approx(evidence(once))


def test_without_a_positive_the_retriever_stays():
    rows = requests(1.0, 1.0, n=30)
    nothing = ScoredRequests(rows.logits, rows.cosine, np.zeros_like(rows.label), rows.user)
    found = choose_order(nothing, "ndcg@10")
    assert (found.order, found.evidence, found.valid["dlrm"]) == ("retriever", 0.0, 0.0)
    none = nothing.take(np.zeros(30, bool))
    assert choose_order(none, "ndcg@10").order == "retriever"


def test_users_are_in_one_part_each():
    rows = np.array([5, 5, 9, 2, 9, 7, 7, 11])
    found = parts(rows, rows, np.array([1, 2, 3]), seed=0)
    assert len(found) == PARTS and (np.sum(found, axis=0) == 1).all()
    for user in set(rows.tolist()):
        assert sum(part[rows == user].any() for part in found) == 1


def test_nothing_is_judged_on_requests_that_the_weights_were_fitted_on(monkeypatch):
    rows, seen = requests(1.0, 3.0, n=90), []

    def fit(logits, cosine, label):
        seen.append({*map(bytes, logits)})
        return 1.0, 1.0

    def judged(self, weights, mixed=ScoredRequests.mixed):
        if len(self.user) < len(rows.user):
            assert not seen[-1] & {*map(bytes, self.logits)} and len(seen[-1]) + len(self.user) == 90
        return mixed(self, weights)

    monkeypatch.setattr("cascade.models.ranker.served_order.fit_weights", fit)
    monkeypatch.setattr("cascade.models.ranker.served_order.evidence", lambda rows: 5.0)
    monkeypatch.setattr(ScoredRequests, "mixed", judged)
    choose_order(rows, "ndcg@10")
    assert len(seen) == PARTS


@settings(max_examples=60)
@given(
    st.integers(1, 60), st.integers(1, 6), st.floats(-2, 2), st.floats(-3, 3), st.integers(0, 10**6),
    st.sampled_from(["ndcg@10", "ndcg@1", "recall@3"]),
)  # fmt: skip
def test_the_list_is_never_worse_than_the_retrievers(n, k, logit_weight, cosine_weight, seed, by):
    """On requests on which nothing was fitted; and what beats both by more than chance is taken."""
    rows = requests(logit_weight, cosine_weight, n=n, k=k, seed=seed)
    rng = np.random.default_rng(seed)
    gone = (rng.random(rows.label.shape) < 0.2) & ~rows.label
    rows = ScoredRequests(np.where(gone, -np.inf, rows.logits), rows.cosine, rows.label, rows.user)
    found = choose_order(rows, by, seed=seed)
    assert found.valid[found.order] >= found.valid["retriever"]
    best = max(found.valid.values())
    if found.order == "retriever":
        assert found.evidence < LEAST_EVIDENCE or best < (1 + LEAST_GAIN) * found.valid["retriever"] or best == 0
    else:
        assert found.evidence >= LEAST_EVIDENCE


def test_a_nan_stops_the_choice():
    rows = requests(1.0, 1.0, n=10)
    rows.logits[3, 1] = np.nan
    with pytest.raises(DivergedError, match="ranker .dlrm.: 1 of 200 scores are NaN"):
        list_metric(rows.logits, rows.label, "ndcg@10", "ranker (dlrm)")


def test_who_is_left_out_is_said(caplog):
    choice = choose_order(requests(0.0, 3.0, n=300), "ndcg@10")
    [notice] = left_out(DlrmConfig(), choice, Fusion(0.0, 2.0, -1.0), lists=True)
    assert notice.startswith("dlrm_ranker: the retriever orders the list, and the ranker is left out of the release. ")
    assert f"lists have ndcg@10 of {choice.valid['retriever']:.4f} in the retriever's order, " in notice
    assert "dlrm_ranker.order_by: fused (or dlrm) serves the ranker all the same" in notice and notice in caplog.text
    assert notice.endswith(
        "What may improve it: more columns about users, items or requests for it to learn from (schema)"
    )
    [of_impressions] = left_out(DlrmConfig(), choice, Fusion(0.0, 2.0, -1.0), lists=False)
    assert "What may improve it: dlrm_ranker.train_on: both" in of_impressions
    asked = DlrmConfig(order_by="retriever")
    assert left_out(DlrmConfig(), choice, Fusion(1.0, 2.0), lists=True) == []
    assert left_out(asked, None, Fusion(0.0, 1.0), lists=True) == []


@pytest.mark.parametrize("order_by", ["auto", "retriever"])
def test_weights_of_labels_that_order_nothing_are_said(order_by, caplog):
    """Judged or not, and whoever decided that the retriever orders the list."""
    config = DlrmConfig(order_by=order_by, labels={"label": {"serve": 0.7}, "long_view": {"serve": 0.3}})
    choice = choose_order(requests(0.0, 3.0, n=300), "ndcg@10") if order_by == "auto" else None
    for said in (left_out(config, choice, Fusion(0.0, 2.0), lists=False), unjudged(config)[1]):
        assert said[-1].startswith(
            "dlrm_ranker.labels: the serve weights (label 0.7, long_view 0.3) do not change the order of the list"
        )
        assert "dlrm_ranker.order_by: dlrm" in said[-1] and said[-1] in caplog.text


@pytest.mark.parametrize("labels", [{}, {"label": {"serve": 0.7}}])
def test_nothing_is_said_of_weights_that_weigh_nothing(labels):
    assert unjudged(DlrmConfig(order_by="retriever", labels=labels))[1] == []


def test_nothing_is_said_of_weights_that_order_the_list():
    config = DlrmConfig(order_by="fused", labels={"label": {"serve": 0.7}, "long_view": {"serve": 0.3}})
    assert left_out(config, None, Fusion(1.0, 1.0), lists=False) == []
    assert not [line for line in unjudged(config)[1] if "serve weights" in line]


@pytest.mark.parametrize(
    ("evidence", "fused", "why"),
    [
        (1.5, 0.3, f"{MORE} (it is 1.5)"),
        (9.0, 0.2019, "lists that are better by 1% or more"),
        (1.5, 0.1, f"lists that are better by 1% or more; and {MORE} (it is 1.5)"),
        (9.0, 0.3, "a weight above 0 for its scores beside the retriever's"),
    ],
)
def test_the_condition_that_is_not_met_is_named(evidence, fused, why):
    choice = OrderChoice("retriever", "ndcg@10", {"retriever": 0.2, "dlrm": 0.1, "fused": fused}, evidence)
    of_each = f"0.2000 in the retriever's order, 0.1000 in the ranker's, {fused:.4f} in that of both fused"
    assert choice.why_not() == f"Validation lists have ndcg@10 of {of_each}. What the ranker lacks: {why}"


@pytest.mark.parametrize(
    ("wanted", "order", "notices"),
    [("auto", "retriever", 1), ("fused", "dlrm", 1), ("dlrm", "dlrm", 0), ("retriever", "retriever", 0)],
)
def test_without_a_validation_part_nothing_is_chosen(wanted, order, notices):
    fusion, said = unjudged(DlrmConfig(order_by=wanted))
    assert fusion.order == order and len(said) == notices


@pytest.mark.parametrize("by", ["ndcg", "ndcg@0", "map@10", "auc"])
def test_a_metric_that_is_none_of_a_list_is_refused(by):
    with pytest.raises(ValueError, match="choose_by"):
        DlrmConfig(choose_by=by)
