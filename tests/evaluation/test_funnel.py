"""The fate of relevant items, one case for each."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.evaluation.funnel import (
    FATES,
    fates,
    source_lines,
    source_summary,
    sources,
    summary,
    used_sources,
)
from cascade.models.retriever.neighbours import Neighbours

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


def test_each_candidate_has_the_sources_that_found_it():
    columns, relevant = batch([0, 1, 2, 3, 19, 30], ranked=[0, 2, 19])
    columns |= {"source_rows": np.array([[30, 0, 1, 19, 2, -1]]), "retrieved_sources": np.array([[1, 1, 2, 3, 6, 0]])}
    got = sources(columns, relevant)  # item 3 came from elsewhere, item 30 was found and did not become a candidate
    assert got["two_tower"].tolist() == [True, False, False, False, True, False]
    assert got["neighbours"].tolist() == [False, True, True, False, True, False]
    assert got["popular"].tolist() == [False, False, True, False, False, False]
    shown = source_summary(got, fates(columns, relevant, 0.0))
    assert shown["two_tower"] == {"count": 2, "share": pytest.approx(1 / 3), "alone": 1, "in_answer": 2, "used": True}
    assert shown["neighbours"] == {"count": 3, "share": 0.5, "alone": 1, "in_answer": 2, "used": True}
    assert shown["popular"] == {"count": 1, "share": pytest.approx(1 / 6), "alone": 0, "in_answer": 1, "used": True}
    [first, second, _] = source_lines(shown)
    assert first == "two_tower found 2 of the relevant items (33.3%), 1 of them alone; 2 are in the answers"
    assert second.startswith("neighbours found 3")


def test_with_one_source_every_candidate_is_its():
    columns, relevant = batch([0, 19, 30], ranked=[0])
    got = sources(columns, relevant)
    assert {name: own.tolist() for name, own in got.items()} == {"two_tower": [True, True, False]}


POPULAR, OF_ITEM = [[0.5, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0.25, 0]]
"""Weights of the codes EVERY and 1."""


@pytest.mark.parametrize(
    ("weights", "names"),
    [
        (None, {"two_tower"}),
        (POPULAR, {"two_tower", "popular"}),
        (OF_ITEM, {"two_tower", "neighbours"}),
        (np.add(POPULAR, OF_ITEM), {"two_tower", "neighbours", "popular"}),
    ],
)
def test_a_source_that_the_release_lacks_is_not_used(weights, names):
    used = used_sources(None if weights is None else Neighbours(csr_matrix(np.array(weights, np.float32))))
    assert used == names
    found = {name: np.zeros(4, bool) for name in ("two_tower", "neighbours", "popular")}
    for name, line in zip(found, source_lines(source_summary(found, np.zeros(4, np.int64), used)), strict=True):
        assert line.startswith(f"{name} found 0 of the relevant items (0.0%)" if name in names else f"{name}: not used")


def test_an_older_evaluation_does_not_say_what_is_used():
    assert source_lines({"popular": {"count": 0, "share": 0.0, "alone": 0, "in_answer": 0}})[0].startswith(
        "popular found 0"
    )
