"""Metrics of new items by hand, and those of a random order by trying every order."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.evaluation.bootstrap import Bootstrap
from cascade.evaluation.new_items import (
    HEAD,
    Retrieval,
    chance,
    figures,
    measure_new_items,
    new_item_hint,
    new_item_line,
    new_item_rows,
)
from cascade.evaluation.retrieval import HistoryScores
from cascade.models.retriever.neighbours import Neighbours

# Items 2, 3 and 4 are new. User 0 has old item 0 and new item 3, user 1 only old item 1, user 2 new items 2 and 4.
COUNTS = np.array([5, 1, 0, 0, 0])
RELEVANT = csr_matrix(np.array([[1, 0, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 1]], bool))
SEEN = csr_matrix(np.array([[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 0]], bool))
RANKED = np.array([[0, 1, 4, 3], [0, 1, 2, 3], [2, 1, 3, 4]])
RETRIEVAL = Retrieval(
    queries=np.eye(3, dtype=np.float32),
    vectors=np.array([[9, 9, 9], [8, 8, 8], [3, 0, 2], [1, 0, 1], [2, 0, 0]], np.float32),
    seen=SEEN,
    ranked=RANKED,
)
ANSWERS = np.array([[0, 3], [1, -1], [1, 0]])


def measured(counts=COUNTS, answers=ANSWERS):
    return measure_new_items(counts, RELEVANT, RETRIEVAL, answers, Bootstrap(50), 2)


def test_counts():
    found = measured()
    assert (found["items"], found["users"], found["positives"]) == (3, 2, 3)
    assert new_item_line(found).startswith("new items (no positive in training): 3; 2 users have 3 positives with them")


def test_in_the_whole_catalogue_only_new_items_are_relevant():
    """User 0 finds item 3 at position 4, user 2 items 2 and 4 at positions 1 and 4."""
    found = measured()["whole_catalogue"]
    assert found["recall@10"] == 1
    best = 1 + 1 / np.log2(3)
    assert found["ndcg@10"] == pytest.approx((1 / np.log2(5) + (1 + 1 / np.log2(5)) / best) / 2)


def test_among_the_new_items_only():
    """User 0 has seen item 2 and finds item 3 at position 2. User 2 gets 2, 3, 4, of which the first and last count."""
    found = measured()["among_new"]
    best = 1 + 1 / np.log2(3)
    assert found["recall@100"] == 1
    assert found["ndcg@10"] == pytest.approx((1 / np.log2(3) + (1 + 1 / 2) / best) / 2)


def test_the_cascade_is_measured_by_its_list():
    found = measured()
    assert found["cascade"] == {"recall@10": 0.5, "ndcg@10": pytest.approx(1 / np.log2(3) / 2)}
    assert "cascade" not in measured(answers=None)


def test_rows_have_a_figure_for_each_column():
    rows = new_item_rows(measured())
    assert [len(row) for row in rows] == [len(HEAD)] * 4
    assert [row[0] for row in rows if None in row] == ["cascade"]


def test_without_new_items_there_are_only_counts():
    found = measured(np.ones(5, int))
    assert found == {"items": 0, "users": 0, "positives": 0}
    assert new_item_rows(found) == []


@pytest.mark.parametrize("choice, relevant", [(4, 1), (4, 3), (2, 2), (5, 2)])
def test_chance_is_the_mean_over_every_order(choice, relevant):
    orders = np.array([*permutations(range(choice))])
    wanted = csr_matrix(np.tile(np.arange(choice) < relevant, (len(orders), 1)))
    expected = {name: values.mean() for name, values in figures(orders, wanted, (2, 10)).items()}
    got = chance(np.array([choice]), np.array([relevant]), (2, 10))
    assert {name: float(values[0]) for name, values in got.items()} == pytest.approx(expected)


def test_what_the_history_says_counts_in_every_ranking():
    """It lifts item 3 to the first place of user 0, and what it says of old items does not count among the new."""
    weights = np.zeros((7, 5), np.float32)
    weights[6] = [50, 0, 0, 20, 0]
    of_history = HistoryScores(Neighbours(csr_matrix(weights)), np.array([[6, 0], [0, 0], [0, 0]]))
    plain, lifted = (
        measure_new_items(COUNTS, RELEVANT, replace(RETRIEVAL, of_history=scores), ANSWERS, Bootstrap(50), 2)
        for scores in (None, of_history)
    )
    best = 1 + 1 / np.log2(3)
    assert plain == measured()
    assert lifted["among_new"]["ndcg@10"] == pytest.approx((1 + (1 + 1 / 2) / best) / 2)


def test_intervals_contain_their_estimates():
    found = measured()
    assert "chance" not in found["intervals"]
    for way, intervals in found["intervals"].items():
        for name, (low, high) in intervals.items():
            assert low <= found[way][name] <= high


@pytest.mark.parametrize(("recall", "lines"), [(0.0, 1), (0.00004, 1), (0.0001, 0), (0.2, 0)])
def test_what_helps_is_said_where_no_new_item_is_found(recall: float, lines: int) -> None:
    found = new_item_hint({"whole_catalogue": {"recall@10": recall}})
    assert len(found) == lines and all("two_tower.item_id_dropout" in line for line in found)
    assert new_item_hint({"items": 0, "users": 0, "positives": 0}) == []
