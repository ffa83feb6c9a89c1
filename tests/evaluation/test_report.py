"""The page is self-contained and says what was left out."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from cascade.evaluation.report import BELOW, ITSELF, LEFT_OUT, below_lines, comparison, render, verdict_lines

RETRIEVAL = {f"recall@{k}": k / 400 for k in (10, 20, 100, 200)} | {"ndcg@10": 0.07, "ndcg@20": 0.09}
CASCADE = {"recall@10": 0.03, "ndcg@10": 0.08, "map@10": 0.05, "mrr@10": 0.05, "coverage@10": 0.3}


@pytest.fixture
def page():
    return page_of("fused")


def page_of(ordered_by):
    fates = ("not_retrieved", "filtered", "ranked_low", "diversified_away", "found")
    results = {
        "retrieval": RETRIEVAL,
        "served_retrieval": RETRIEVAL | {"recall@100": 0.2468},
        "sources": {"two_tower": {"count": 7, "share": 0.7, "alone": 3, "in_answer": 2}},
        "ordered_by": ordered_by,
        "ranking": {"auc": None, "gauc": 0.75, "logloss": 0.1, "ece": 0.01},
        "cascade": CASCADE,
        "funnel": {name: {"count": n, "share": n / 10} for n, name in enumerate(fates)},
        "baselines": {
            "popularity": RETRIEVAL | CASCADE,
            "ials": RETRIEVAL | CASCADE,
            "ease": {"skipped": "<too large>"},
        },
        "intervals": {
            **{"level": 0.95, "replicates": 200, "retrieval": {}, "served_retrieval": {}},
            "cascade": {"ndcg@10": [0.071, 0.089]},
            **{"baselines": {"popularity": {}}, "ranking": {"auc": None, "gauc": [0.741, 0.762]}},
        },
        "new_items": {
            **{"items": 30, "users": 4, "positives": 7, "cascade": {"recall@10": 0.123, "ndcg@10": 0.456}},
            "among_new": {"recall@10": 0.5, "recall@100": 0.987, "ndcg@10": 0.25, "ndcg@100": 0.3},
        },
        "impressions": {
            "like": {
                "methods": {
                    "ranker": {"auc": 0.7, "logloss": 0.55, "valid_auc": None},
                    "lightgbm": {"auc": 0.6875, "logloss": 0.5, "valid_auc": 0.75},
                    "factorization_machine": {"skipped": "too <few>"},
                },
                "intervals": {"ranker": {"auc": [0.6, 0.8]}, "lightgbm": {}},
                "differences": {"ranker - lightgbm": {"auc": {"value": 0.0125, "low": 0.001, "high": 0.02}}},
                "history": "before_test",
                "tuning": {"lightgbm": {"setting": {"leaves": 63}, "score": 0.75, "tried": 4}},
            }
        },
        "differences": {"cascade - retrieval": {"ndcg@10": {"value": 0.01, "low": -0.004, "high": 0.024}}},
        "tuning": {
            "popularity": {"setting": {"newest": 1.0}, "score": None, "tried": 0},
            "ials": {"setting": {"factors": 64, "alpha": 3.0}, "score": 0.125, "tried": 5},
        },
        "slices": [
            {"slice": "new users", "users": 0, "recall@10": None, "ndcg@10": None, "rows": 0, "auc": None},
            {"slice": "title = <b>", "users": 1234, "recall@10": 0.5, "ndcg@10": 0.25, "rows": 5, "auc": 0.625},
        ],
    }
    logits = np.linspace(-4, 1, 50, dtype=np.float32)
    return render(results, {"release": "a<b"}, logits, logits > 0)


@pytest.mark.slow
def test_the_page_is_self_contained(page):
    found = []

    class Links(HTMLParser):
        def handle_starttag(self, tag, attrs):
            found.extend(value for name, value in attrs if name in ("src", "href"))

    Links().feed(page)
    assert len(found) == 3
    assert all(link.startswith("data:image/svg+xml;base64,") for link in found)
    assert "<script" not in page


def test_retrieval_is_shown_as_served_beside_exact_search(page):
    assert "Retriever, exact search" in page and "Retriever, as served" in page and "0.2468" in page
    assert "two_tower found 7 of the relevant items (70.0%), 3 of them alone" in page


def test_a_ranker_that_is_left_out_is_called_so(page):
    left_out = page_of("retriever")
    assert "<h2>Ranker (left out)</h2>" in left_out and "<h2>Ranker</h2>" in page
    assert LEFT_OUT in left_out and ITSELF in left_out
    assert LEFT_OUT not in page and ITSELF not in page


def test_skipped_methods_are_named_and_text_is_escaped(page):
    assert "EASE: &lt;too large&gt;" in page
    assert "a&lt;b" in page


def test_the_history_of_impressions_is_named(page):
    assert "Logged impressions: like, history before the test part" in page


def apart(value, low, high):
    return {"value": value, "low": low, "high": high}


def test_what_is_worse_than_a_simpler_method_is_called_so():
    results = {
        "differences": {
            "cascade - retrieval": {"ndcg@10": apart(0.0, -0.1, 0.1)},
            "retrieval - ease": {"recall@10": apart(-0.02, -0.03, -0.01), "recall@100": apart(0.1, 0.05, 0.2)},
        },
        "impressions": {
            "like": {
                "differences": {
                    "ranker - lightgbm": {"auc": apart(0.01, -0.1, 0.1), "logloss": apart(0.002, -0.1, 0.1)}
                }
            }
        },
    }
    assert below_lines(results) == [
        "RECALL@10, retriever - ease: -0.0200 [-0.0300, -0.0100]",
        "like: LOGLOSS, ranker - lightgbm: +0.0020 [-0.1000, +0.1000], may be chance",
    ]


@pytest.mark.parametrize(
    ("difference", "word", "figures"),
    [
        ((0.0459, 0.0305, 0.0619), "better", "0.0459 NDCG@10 [0.0305, 0.0619]: certain"),
        ((0.01, -0.01, 0.03), "better", "0.0100 NDCG@10 [-0.0100, 0.0300]: may be chance"),
        ((-0.02, -0.03, -0.01), "worse", "0.0200 NDCG@10 [0.0100, 0.0300]: certain"),
        ((-0.01, -0.03, 0.02), "worse", "0.0100 NDCG@10 [-0.0200, 0.0300]: may be chance"),
        ((0.0, 0.0, 0.0), "no better", "0.0000 NDCG@10 [0.0000, 0.0000]: may be chance"),
    ],
)
def test_the_verdict_is_about_the_best_baseline(difference, word, figures):
    others = {"cascade - retrieval": {"ndcg@10": apart(1, 1, 1)}, "retrieval - ials": {"recall@10": apart(1, 1, 1)}}
    results = {"differences": {**others, "cascade - ease": {"ndcg@10": apart(*difference)}}}
    assert verdict_lines(results) == [f"The cascade is {word} than the best simple method (ease) by {figures}"]
    assert verdict_lines({"differences": others}) == [] == verdict_lines({})


def test_nothing_worse_is_no_warning(page):
    assert BELOW not in page


def test_new_items_are_shown(page):
    assert "new items (no positive in training): 30; 4 users have 7 positives" in page
    assert "<th>cascade</th><td>0.1230</td><td></td><td>0.4560</td><td></td>" in page
    assert "<th>retriever, new items only</th><td>0.5000</td><td>0.9870</td>" in page


def test_intervals_differences_and_slices_are_shown(page):
    assert "0.0800<br><small>[0.0710, 0.0890]</small>" in page
    assert "0.7500<br><small>[0.7410, 0.7620]</small>" in page
    assert "95% intervals by bootstrap over users, 200 draws." in page
    assert "NDCG@10, cascade - retriever: +0.0100 [-0.0040, +0.0240]" in page
    assert "<th>title = &lt;b&gt;</th><td>1,234</td><td>0.5000</td><td>0.2500</td><td>5</td><td>0.6250</td>" in page


def test_the_labels_of_impressions_are_shown(page):
    part = page[page.index("Logged impressions: like") : page.index("Slices of the cascade")]
    assert "0.7000<br><small>[0.6000, 0.8000]</small>" in part
    assert re.findall(r'class="best">([\d.]+)<', part) == ["0.7000", "0.5000", "0.7500"]
    assert "AUC, ranker - lightgbm: +0.0125 [+0.0010, +0.0200]" in part
    assert "Factorization machine: too &lt;few&gt;" in part


def test_the_best_value_of_each_metric_is_bold():
    table = comparison({"popularity": {"ndcg@10": 0.1}, "cascade": {"ndcg@10": 0.2, "mrr@10": 0.3}}, {})
    assert re.findall(r'class="best">([\d.]+)<', table) == ["0.2000", "0.3000"]
    assert "<td></td>" in table


def test_the_settings_of_baselines_are_shown(page):
    assert "popularity: newest 1.0; not tuned" in page
    assert "ials: factors 64, alpha 3.0; the best of 5, validation NDCG@20 0.1250" in page
    assert "lightgbm: leaves 63; the best of 4, validation AUC 0.7500" in page
