"""Figures and verdicts of the gates, with numbers computed by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.answers import answers_verdict
from cascade.rollout.gates.calibration import calibration_verdict
from cascade.rollout.gates.catalogue import catalogue_verdict
from cascade.rollout.gates.index import IndexMeasures, index_verdict
from cascade.rollout.gates.latency import latency_verdict
from cascade.rollout.gates.measure import MeasuredRelease, catalogue_of, places
from cascade.rollout.gates.quality import quality_verdict, slices_verdict
from cascade.rollout.gates.requests import HeldOutRequests
from cascade.rollout.gates.scores import scores_verdict, shift_verdict, stability_index
from cascade.rollout.gates.spread import spread_verdict
from cascade.rollout.gates.verdict import GateReport, GateVerdict

CONFIG = GatesConfig(min_users=2, min_slice_users=2)


def measured(answers: Any, **others: Any) -> MeasuredRelease:
    """What a release answered: ``answers`` [U, k], all with the score 0.5, out of 10 items."""
    rows = np.array(answers, np.int64)
    half = np.full(rows.shape, 0.5, np.float32)
    fields = {
        "item_ids": np.arange(10),
        "asked": rows.shape[1],
        "answers": rows,
        "scores": half,
        "seen": np.zeros(rows.shape, bool),
        "candidates": rows,
        "logits": np.tile(np.arange(rows.shape[1], dtype=np.float32), (len(rows), 1)),
        "queries": half,
    }
    return MeasuredRelease(**{**fields, **others})


def taken(items: list[int], n_items: int = 10) -> csr_matrix:
    """User u took items[u]."""
    cells = (np.ones(len(items), bool), (np.arange(len(items)), items))
    return csr_matrix(cells, shape=(len(items), n_items), dtype=bool)


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "inconclusive"], "inconclusive"),
        (["inconclusive", "fail", "pass"], "fail"),
        ([], "pass"),
    ],
)
def test_a_report_is_as_bad_as_its_worst_gate(states, whole) -> None:
    assert GateReport("a", "b", [GateVerdict(str(at), state, "") for at, state in enumerate(states)]).state == whole


def test_places_are_found_and_others_are_none() -> None:
    catalogue = catalogue_of([np.array([30, 10]), np.array([20])])
    assert places(np.array([[10, 30], [-1, 20]]), catalogue).tolist() == [[0, 2], [-1, 1]]
    mixed = catalogue_of([np.array([7]), np.array(["b"])])
    assert mixed.tolist() == ["7", "b"] and places(np.array([7, 8]), mixed).tolist() == [0, -1]


def test_answers_count_empty_short_double_and_seen_ones() -> None:
    seen = np.zeros((4, 2), bool)
    seen[3, 1] = True
    verdict = answers_verdict(measured([[-1, -1], [1, -1], [2, 2], [3, 4]], seen=seen), None, CONFIG)
    assert verdict.figures == {"empty": 0.25, "short": 0.25, "twice": 1, "seen": 1}
    assert verdict.state == "fail" and verdict.text.count(";") >= 3


def test_as_many_empty_answers_as_the_live_release_has_are_no_fault() -> None:
    some = measured([[-1, -1], [1, 2], [2, 3]])
    assert answers_verdict(some, some, CONFIG).state == "pass"
    assert answers_verdict(some, measured([[0, 1], [1, 2], [2, 3]]), CONFIG).state == "fail"


def test_scores_that_cannot_be_right() -> None:
    good = measured([[1, 2], [3, 4]])
    assert scores_verdict(good, None, CONFIG).state == "pass"
    for value in (np.nan, np.inf, -np.inf):
        bad = scores_verdict(measured([[1, 2], [3, 4]], logits=np.float32([[0, 1], [value, 2]])), None, CONFIG)
        assert bad.state == "fail" and bad.figures["not_finite"] == 1
    same = scores_verdict(measured([[1, 2], [3, 4]], logits=np.float32([[0, 1], [2, 2]])), None, CONFIG)
    assert same.state == "fail" and same.figures["constant"] == 0.5
    sure = measured([[1, 2], [3, 4]], scores=np.float32([[1, 0.5], [0, 0.5]]))
    assert scores_verdict(sure, None, CONFIG).figures["saturated"] == 0.5
    assert (scores_verdict(sure, None, CONFIG).state, scores_verdict(sure, sure, CONFIG).state) == ("fail", "pass")


def test_padding_is_no_score() -> None:
    padded = measured([[1, -1], [2, 3]], logits=np.float32([[0, np.nan], [1, 2]]))
    assert scores_verdict(padded, None, CONFIG).state == "pass"


def test_the_stability_index_by_hand() -> None:
    before = np.repeat(np.arange(10, dtype=np.float32), 10)  # a tenth in each decile
    now = np.concatenate([before[10:], np.full(10, 9, np.float32)])  # the lowest decile moved to the highest
    assert stability_index(before, before) == 0
    expected = (1e-4 - 0.1) * np.log(1e-4 / 0.1) + (0.2 - 0.1) * np.log(2)
    assert stability_index(now, before) == pytest.approx(expected)


@given(st.integers(0, 1000), st.floats(-3, 3))
def test_the_stability_index_is_never_negative_and_grows_with_the_shift(seed, shift) -> None:
    before = np.random.default_rng(seed).normal(size=500)
    assert stability_index(before, before) == 0
    assert stability_index(before + shift, before) >= 0
    assert stability_index(before + 2 * shift, before) >= stability_index(before + shift, before) - 0.5


def test_a_shift_of_scores_fails_whatever_its_direction() -> None:
    rows = np.arange(400).reshape(200, 2) % 10
    scores = np.random.default_rng(0).uniform(0.2, 0.8, rows.shape).astype(np.float32)
    live = measured(rows, scores=scores)
    odds = scores / (1 - scores)
    for factor, state in ((1, "pass"), (2.9, "pass"), (1 / 2.9, "pass"), (3.1, "fail"), (1 / 3.1, "fail")):
        changed = shift_verdict(measured(rows, scores=factor * odds / (1 + factor * odds)), live, CONFIG)
        assert changed.state == state
        assert changed.figures["odds_factor"] == pytest.approx(max(factor, 1 / factor), rel=0.02)


def test_coverage_by_hand() -> None:
    live = measured([[0, 1], [2, 3]])
    same = spread_verdict(live, live, CONFIG)
    assert same.state == "pass" and same.figures["effective"] == pytest.approx(4)
    few = spread_verdict(measured([[0, 1], [0, 1]]), live, CONFIG)
    assert few.state == "pass" and few.figures["covered"] == 2, "half is allowed"
    one = spread_verdict(measured([[0, -1], [0, -1]]), live, CONFIG)
    assert one.state == "fail" and one.figures["effective"] == pytest.approx(1)


def test_the_catalogue_counts_what_came_and_went() -> None:
    sizes = {"index": 10, "item_ids.npy": 10}
    verdict = catalogue_verdict(np.arange(10), np.arange(1, 11), sizes, CONFIG)
    assert verdict.state == "pass" and verdict.figures == {"items": 10, "new": 1, "gone": 1, "gone_share": 0.1}
    assert catalogue_verdict(np.arange(10), np.arange(2, 12), sizes, CONFIG).state == "fail"
    named = catalogue_verdict(np.arange(10), np.arange(2, 12), sizes, CONFIG, np.array([10, 99]))
    assert named.state == "pass" and named.figures["gone"] == 2 and named.figures["gone_share"] == 0.1
    assert catalogue_verdict(np.arange(10), None, {**sizes, "index": 9}, CONFIG).state == "fail"
    assert "2 items have the id" in catalogue_verdict(np.array([1, 1, 1]), None, {"a": 3}, CONFIG).text
    back = catalogue_verdict(np.arange(10), np.arange(10), sizes, CONFIG, recalled=np.array([3, 99, 4]))
    assert (
        back.state == "fail" and "2 items that `cascade index refresh --remove` took off are in it, e.g. 3" in back.text
    )
    away = catalogue_verdict(np.arange(10), np.arange(10), sizes, CONFIG, recalled=np.array([99]))
    assert away.state == "pass"


def test_requests_without_items_that_nobody_can_be_shown() -> None:
    slices = {"new": np.array([True, False, True])}
    asked = HeldOutRequests({"user_id": np.arange(2)[:, None]}, np.array([0, 0, 1]), np.array([7, 8, 9]), slices)
    found = asked.without(np.array([8, 100]))
    assert len(found) == 2 and found.owners.tolist() == [0, 1] and found.items.tolist() == [7, 9]
    assert found.slices["new"].tolist() == [True, True]


@pytest.mark.parametrize(
    ("measures", "state"),
    [
        (IndexMeasures(0.95, 100, 0), "pass"),
        (IndexMeasures(0.85, 100, 0), "fail"),
        (IndexMeasures(float("nan"), 100, 0), "fail"),
        (IndexMeasures(1.0, 100, 11), "fail"),
        (IndexMeasures(None, 100, 0), "inconclusive"),
        (IndexMeasures(None, 100, 11), "fail"),
    ],
)
def test_the_index(measures, state) -> None:
    assert index_verdict(measures, CONFIG).state == state


def at_rank(ranks: list[int], items: list[int]) -> MeasuredRelease:
    """The item that user u took is at ranks[u] of 10; the others are never taken."""
    rows = np.full((len(ranks), 10), 99)
    rows += np.arange(10)
    rows[np.arange(len(ranks)), ranks] = items
    return measured(rows)


def test_quality_is_paired_by_user() -> None:
    """NDCG of the only item at rank r is 1 / log2(2 + r): 1 at rank 0, 0.6309 at rank 1."""
    items = [1] * 300
    relevant = taken(items, 200)
    live = at_rank([0, 1, 1] * 100, items)
    equal = quality_verdict(live, live, relevant, CONFIG)
    assert equal.state == "pass" and equal.figures["ndcg@10 change low"] == 0
    assert equal.figures["live ndcg@10"] == pytest.approx((1 + 2 / np.log2(3)) / 3)
    worse = quality_verdict(at_rank([2] * 300, items), live, relevant, CONFIG)
    assert worse.state == "fail" and worse.figures["recall@10 change high"] == 0
    better = quality_verdict(at_rank([0] * 300, items), live, relevant, CONFIG)
    assert better.state == "pass" and (better.figures["ndcg@10 change low"] or 0) > 0.2


def test_a_loss_about_as_large_as_the_margin_is_inconclusive() -> None:
    items = [1] * 300
    live, relevant = at_rank([0] * 300, items), taken(items, 200)
    near = quality_verdict(at_rank(([0] * 9 + [2]) * 30, items), live, relevant, CONFIG)
    assert near.state == "inconclusive", "half of a tenth of the users: the margin itself"
    generous = quality_verdict(
        at_rank(([0] * 9 + [2]) * 30, items), live, relevant, GatesConfig(min_users=2, quality_margin=0.2)
    )
    assert generous.state == "pass"


def test_a_broken_slice_fails_although_the_whole_hardly_loses() -> None:
    items = np.ones(1000, np.int64)
    live, worse = at_rank([0] * 1000, [1] * 1000), at_rank([8] * 20 + [0] * 980, [1] * 1000)
    few = np.arange(1000) < 20
    requests = HeldOutRequests(
        {"user_id": np.arange(1000)[:, None]}, np.arange(1000), items, {"few": few, "others": ~few}
    )
    catalogue = np.arange(200)
    assert quality_verdict(worse, live, taken([1] * 1000, 200), CONFIG).state == "pass"
    verdict = slices_verdict(worse, live, requests, catalogue, CONFIG)
    assert verdict.state == "fail" and verdict.text.startswith("few:") and verdict.figures["others"] == 0
    small = slices_verdict(worse, live, requests, catalogue, GatesConfig(min_slice_users=21))
    assert small.state == "pass" and set(small.figures) == {"others"}


def test_calibration_compares_with_the_live_release() -> None:
    rng = np.random.default_rng(0)
    rows = np.tile(np.arange(10), (400, 1))
    logits = rng.normal(-1, 1, rows.shape).astype(np.float32)
    relevant = csr_matrix(rng.random(rows.shape) < 1 / (1 + np.exp(-logits.astype(float))))
    live = measured(rows, logits=logits)
    for change, state in ((0.0, "pass"), (0.05, "pass"), (np.log(3), "fail"), (-np.log(3), "fail")):
        verdict = calibration_verdict(measured(rows, logits=logits + np.float32(change)), live, relevant, CONFIG)
        assert verdict.state == state
    too_sure = calibration_verdict(measured(rows, logits=3 * logits), live, relevant, CONFIG)
    assert too_sure.state == "fail"
    nobody = calibration_verdict(live, live, csr_matrix(rows.shape, dtype=bool), CONFIG)
    assert nobody.state == "inconclusive"


@pytest.mark.parametrize(
    ("candidate", "size", "state"),
    [
        ({"rank": 4.0, "respond": 0.1, "total": 4.1}, 100, "pass"),
        ({"rank": 4.5, "respond": 0.1, "total": 4.6}, 100, "fail"),
        ({"rank": 2.0, "respond": 0.9, "total": 2.9}, 100, "pass"),  # 3 % of the time: noise
        ({"rank": 2.0, "respond": 0.1, "other": 2.5, "total": 4.6}, 100, "fail"),  # a stage that is new
        ({"rank": 2.0, "respond": 0.1, "total": 2.1}, 201, "fail"),
    ],
)
def test_latency_and_size(candidate, size, state) -> None:
    live = {"rank": 2.2, "respond": 0.06, "total": 2.26}
    assert latency_verdict(candidate, live, (size, 100), CONFIG).state == state
