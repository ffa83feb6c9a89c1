"""The fate of relevant items, one case for each."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.evaluation.funnel import FATES, fates, summary

N_ITEMS = 40


def batch(relevant, *, ranked, seen=(), logits=None, candidates=range(20)):
    """One user with candidates 0 to 19 in descending order of logits, of which 12 reach the answer."""
    candidates = np.array([candidates], np.int64)
    columns = {
        "seen_rows": np.array([[*seen, -1]], np.int64),
        "candidate_rows": candidates,
        "logits": np.linspace(3, -3, candidates.size, dtype=np.float32)[None] if logits is None else logits,
        "ranked_rows": np.array([ranked], np.int64),
    }
    cells = (np.ones(len(relevant), bool), (np.zeros(len(relevant), int), relevant))
    return columns, csr_matrix(cells, shape=(1, N_ITEMS))


def names(columns, relevant, min_score=0.0):
    return [FATES[fate] for fate in fates(columns, relevant, min_score)]


def test_each_fate():
    answer = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12]  # item 10 replaces item 3 among the first ten
    columns, relevant = batch([0, 3, 11, 19, 30, 31], ranked=answer, seen=[31])
    want = ["found", "diversified_away", "ranked_low", "ranked_low", "not_retrieved", "filtered"]
    assert names(columns, relevant) == want


def test_an_item_below_the_threshold_is_filtered():
    columns, relevant = batch([0, 9, 10], ranked=list(range(10)))
    assert names(columns, relevant, min_score=0.5) == ["found", "found", "filtered"]


def test_a_tie_goes_to_the_earlier_candidate():
    columns, relevant = batch([9, 10], ranked=[11] * 10, logits=np.zeros((1, 20), np.float32))
    assert names(columns, relevant) == ["diversified_away", "ranked_low"]


def test_users_do_not_mix():
    columns = {
        "seen_rows": np.array([[-1], [1]]),
        "candidate_rows": np.array([[0, 1], [2, -1]]),
        "logits": np.array([[0, -1], [0, -np.inf]], np.float32),
        "ranked_rows": np.array([[0, 1], [2, -1]]),
    }
    relevant = csr_matrix(np.array([[0, 1, 1], [1, 1, 1]], bool))
    assert names(columns, relevant) == ["found", "not_retrieved", "not_retrieved", "filtered", "found"]


def test_the_summary_counts_every_item():
    got = summary(np.array([0, 0, 4, 2]))
    assert got["not_retrieved"] == {"count": 2, "share": 0.5}
    assert got["filtered"] == {"count": 0, "share": 0.0}
    assert sum(part["count"] for part in got.values()) == 4
    assert sum(part["share"] for part in got.values()) == pytest.approx(1)
    assert list(got) == list(FATES)
