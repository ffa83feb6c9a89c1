"""Counts of the training in another catalogue, by hand."""

import numpy as np
import pyarrow as pa

from cascade.models.retriever.item_to_item.neighbour_weights import NeighbourWeights
from cascade.rollout.refresh.trained_counts import TrainedRows
from cascade.workflows.history.transitions import Transitions

ROWS = TrainedRows(pa.array([10, 20, 30, 40]), pa.array([5, 20, 25, 40]))
"""10 and 30 are gone; 20 was row 1, 40 was row 3; now they are rows 1 and 3, and 5 and 25 are new."""
START = np.array([0, 3, 3, 5])
ROW = np.array([0, 1, 3, 2, 3], np.int32)


def test_transitions_keep_their_totals_and_lose_what_is_gone():
    count, total = np.arange(10, dtype=np.float32).reshape(5, 2), np.ones((3, 2), np.float32)
    share = np.array([0.4, 0.3, 0.2, 0.1], np.float32)
    found = ROWS.renewed_transitions(Transitions(START, ROW, count, total, share))
    assert found.start.tolist() == [0, 2, 2, 3] and found.row.tolist() == [1, 3, 3]
    assert found.count.tolist() == [[2, 3], [4, 5], [8, 9]] and found.total.tolist() == total.tolist()
    np.testing.assert_array_equal(found.share, np.array([0, 0.3, 0, 0.1], np.float32))


def test_weights():
    found = ROWS.renewed_neighbours(NeighbourWeights(START, ROW, np.arange(5, dtype=np.float32)))
    assert found.start.tolist() == [0, 2, 2, 3] and found.row.tolist() == [1, 3, 3]
    assert found.weight.tolist() == [1, 2, 4]


def test_nothing_is_left_of_a_catalogue_of_other_items():
    rows = TrainedRows(pa.array(["a", "b"]), pa.array(["c"]))
    weights = NeighbourWeights(np.array([0, 2]), np.array([0, 1], np.int32), np.ones(2, np.float32))
    found = rows.renewed_neighbours(weights)
    assert found.start.tolist() == [0, 0] and len(found.row) == len(found.weight) == 0
