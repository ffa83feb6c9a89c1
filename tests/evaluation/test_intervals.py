"""Intervals of ranking metrics, compared with scikit-learn on the rows of the drawn users."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import log_loss, roc_auc_score

from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.intervals import (
    differences,
    list_intervals,
    ranking_differences,
    ranking_draws,
    ranking_intervals,
)
from cascade.evaluation.method_metrics import measure_methods, recsys
from cascade.evaluation.ranking import RankedRows, ranking_metrics
from cascade.models import metrics


def some_rows(seed, n=3000, users=60):
    rng = np.random.default_rng(seed)
    owner = np.sort(rng.integers(0, users, n)) * 3
    logits = (rng.normal(size=n) + rng.normal(size=3 * users)[owner] - 1).astype("f4")
    label = rng.random(n) < 1 / (1 + np.exp(-0.7 * logits))
    return RankedRows(logits, label, owner, np.zeros(n, int), np.zeros(n, int))


@pytest.mark.slow
def test_intervals_equal_those_of_the_rows_of_the_drawn_users():
    rows, boot = some_rows(0), Bootstrap(200, seed=5)
    got = ranking_intervals(rows, ranking_metrics(rows), boot)
    owner = np.unique(rows.users, return_inverse=True)[1]
    counts = boot.sums(np.eye(owner.max() + 1)).astype(int)
    edges = np.array_split(np.argsort(rows.logits, kind="stable"), 15)
    chance = 1 / (1 + np.exp(-rows.logits.astype(float)))
    slow = {"auc": [], "gauc": [], "logloss": [], "ece": []}
    for drawn in counts:
        weight = drawn[owner]
        again = np.repeat(np.arange(len(rows)), weight)
        slow["auc"].append(roc_auc_score(rows.label[again], rows.logits[again]))
        slow["logloss"].append(log_loss(rows.label[again], chance[again]))
        own = [
            (roc_auc_score(rows.label[owner == u], rows.logits[owner == u]), n * (owner == u).sum())
            for u, n in enumerate(drawn)
            if n and 0 < rows.label[owner == u].mean() < 1
        ]
        slow["gauc"].append(np.average([a for a, _ in own], weights=[w for _, w in own]))
        apart = [abs((weight * (chance - rows.label))[chunk].sum()) for chunk in edges]
        slow["ece"].append(sum(apart) / weight.sum())
    point = ranking_metrics(rows)
    for name, draws in slow.items():
        assert got[name] == pytest.approx(boot.interval(point[name], np.array(draws)), abs=1e-4), name


@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 12))
@settings(max_examples=30)
def test_an_interval_contains_the_metric_or_is_none(seed, n, users):
    rows = some_rows(seed, n, users)
    point = ranking_metrics(rows)
    for name, interval in ranking_intervals(rows, point, Bootstrap(100)).items():
        assert (interval is None) == (point[name] is None)
        assert interval is None or interval[0] <= point[name] <= interval[1]


def test_the_order_of_the_rows_does_not_matter():
    rows = some_rows(1)
    order = np.random.default_rng(0).permutation(len(rows))
    mixed = RankedRows(*(getattr(rows, name)[order] for name in ("logits", "label", "users", "items", "events")))
    for a, b in zip(
        *(ranking_intervals(r, ranking_metrics(r), Bootstrap(100)).values() for r in (rows, mixed)), strict=True
    ):
        assert a == pytest.approx(b, abs=1e-6)


def test_differences_are_paired():
    rng = np.random.default_rng(2)
    hard = rng.random(500)  # differences between users cancel out
    gains = {"retrieval": 0.0, "cascade": 0.1, "popularity": -0.5, "ials": 0.05}
    names = ("ndcg@10", "recall@10", "recall@100")
    values = {name: {m: hard + gain + 0.01 * rng.random(500) for m in names} for name, gain in gains.items()}
    got = differences(values, Bootstrap(300))
    assert list(got) == ["cascade - retrieval", "cascade - ials", "retrieval - popularity", "retrieval - ials"]
    assert list(got["cascade - ials"]) == ["ndcg@10"] and list(got["retrieval - ials"]) == ["recall@10", "recall@100"]
    apart = got["cascade - ials"]["ndcg@10"]
    assert apart["value"] == pytest.approx(0.05, abs=0.002)
    assert apart["low"] > 0.045 and apart["high"] < 0.055
    assert got["retrieval - popularity"]["recall@100"]["value"] == pytest.approx(0.5, abs=0.002)
    alone = list_intervals(values["cascade"], Bootstrap(300))["ndcg@10"]
    assert alone[1] - alone[0] > 10 * (apart["high"] - apart["low"])


def test_differences_of_rankings_are_paired():
    rows = some_rows(4)
    worse = replace(rows, logits=rows.logits + np.random.default_rng(9).normal(size=len(rows)).astype("f4"))
    boot = Bootstrap(300)
    ours, theirs = ((ranking_metrics(r), ranking_draws(r, ranking_metrics(r), boot)) for r in (rows, worse))
    got = ranking_differences(ours, theirs, boot)
    assert list(got) == ["auc", "gauc", "logloss", "ece"]
    assert got["auc"]["value"] == pytest.approx(
        roc_auc_score(rows.label, rows.logits) - roc_auc_score(rows.label, worse.logits)
    )
    assert 0 < got["auc"]["low"] < got["auc"]["value"] < got["auc"]["high"]
    assert got["logloss"]["high"] < 0
    alone = boot.interval(ours[0]["auc"], ours[1]["auc"])
    assert alone[1] - alone[0] > got["auc"]["high"] - got["auc"]["low"]
    assert all(apart == {"value": 0, "low": 0, "high": 0} for apart in ranking_differences(ours, ours, boot).values())


def test_the_sections_of_the_metrics():
    relevant = csr_matrix(np.array([[0, 1, 0], [1, 0, 0]], bool))
    lists = np.array([[1, 0, 2], [1, 0, 2]])
    rows = some_rows(3)
    ranked = {"retrieval": lists, "cascade": lists, "popularity": lists[:, ::-1], "ease": "too many items"}
    got = measure_methods(ranked, rows, relevant, Bootstrap(100))
    assert got["cascade"]["mrr@10"] == pytest.approx(0.75) and got["cascade"]["coverage@10"] == 1
    assert got["baselines"]["ease"] == {"skipped": "too many items"}
    assert got["intervals"]["cascade"]["mrr@10"] == pytest.approx((0.5, 1))
    assert set(got["intervals"]["baselines"]) == {"popularity"}
    assert set(got["intervals"]["ranking"]) == set(got["ranking"])
    flat = recsys(got, {"recsys_label_leak_check": 1})
    assert flat["recsys_mrr@10"] == got["cascade"]["mrr@10"] and flat["recsys_gauc"] == got["ranking"]["gauc"]
    assert set(flat) == {
        f"recsys_{name}" for name in ("auc", "gauc", "ece", "ndcg@10", "map@10", "mrr@10", "label_leak_check")
    }


def test_a_mixture_of_labels_has_no_log_loss_of_one_of_them():
    relevant = csr_matrix(np.array([[0, 1, 0], [1, 0, 0]], bool))
    lists = np.array([[1, 0, 2], [1, 0, 2]])
    got = measure_methods({"retrieval": lists, "cascade": lists}, some_rows(3), relevant, Bootstrap(100), (), False)
    assert {name for name, value in got["ranking"].items() if value is None} == {"logloss", "ece"}
    assert got["intervals"]["ranking"]["ece"] is None and got["intervals"]["ranking"]["auc"] is not None
    assert recsys(got, {})["recsys_ece"] is None


def test_without_baselines_only_our_own_methods_are_compared():
    values = {name: {"ndcg@10": np.ones(3)} for name in ("retrieval", "cascade")}
    assert list(differences(values, Bootstrap(100))) == ["cascade - retrieval"]


def test_grouped_auc_by_hand():
    score = np.array([0.9, 0.1, 0.5, 0.5, 0.3, 0.7, 0.2])
    label = np.array([True, False, True, False, False, True, True])
    group = np.array([0, 0, 2, 2, 2, 1, 1])
    got = metrics.grouped_auc(score, label, group, 4)
    assert got[[0, 2]].tolist() == [1.0, 0.75] and np.isnan(got[[1, 3]]).all()
    assert metrics.gauc(got, np.array([2, 2, 3, 0])) == pytest.approx((2 * 1 + 3 * 0.75) / 5)
    assert metrics.gauc(got[[1, 3]], np.array([2, 0])) is None


@given(st.integers(0, 2**32 - 1), st.integers(0, 60))
def test_grouped_auc_equals_scikit_learn(seed, n):
    rng = np.random.default_rng(seed)
    score, label, group = rng.integers(0, 5, n) / 4, rng.random(n) < 0.4, rng.integers(0, 4, n)
    got = metrics.grouped_auc(score, label, group, 4)
    for number in range(4):
        own = group == number
        if own.any() and 0 < label[own].mean() < 1:
            assert got[number] == pytest.approx(roc_auc_score(label[own], score[own]))
        else:
            assert np.isnan(got[number])
