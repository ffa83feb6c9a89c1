"""The item snapshot."""

import numpy as np
import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.ops.lookup_items import LookupItems
from cascade.testing.op_contract import OpContract
from cascade.workflows.history.transitions import Transitions


def loaded(folder):
    np.save(folder / "brand.npy", np.array([[5], [6], [7]], dtype=np.int32))
    np.save(folder / "genres.npy", np.array([[1, 2], [3, 0], [4, 5]], dtype=np.int32))
    np.save(folder / "price.npy", np.array([[0.5], [1.5], [2.5]], dtype=np.float32))
    np.save(folder / "item_vectors.npy", np.arange(9, dtype=np.float32).reshape(3, 3))
    op = LookupItems({"brand": ("int64", 1), "genres": ("int64", 2), "price": ("float32", 1)}, dim=3)
    op.load(folder)
    return op


class TestLookupItems(OpContract):
    def make_op(self, folder):
        return loaded(folder)

    def make_batch(self):
        return {"candidate_rows": np.array([[2, 0, 1], [1, -1, -1], [-1, -1, -1]], dtype=np.int64)}


def reading(folder):
    """The same with transitions between rows 0, 1, 2 with codes 3, 4, 5: 1 followed 0 twice, 2 followed 1 once."""
    loaded(folder)
    history, items = np.array([[3], [3], [4]], np.int32), np.array([1, 1, 2], np.int32)
    Transitions.from_histories(history, items, (6, 3), window=1).save(folder)
    op = LookupItems({"brand": ("int64", 1)}, dim=3, last=2, history=2)
    op.load(folder)
    return op


class TestLookupItemsWithTransitions(OpContract):
    def make_op(self, folder):
        return reading(folder)

    def make_batch(self):
        rows = np.array([[2, 0, 1], [1, -1, -1], [-1, -1, -1]], dtype=np.int64)
        return {"candidate_rows": rows, "history": np.array([[4, 3], [3, 0], [0, 0]], dtype=np.int64)}


def test_transitions_are_of_the_users_last_items(tmp_path):
    asked = np.array([[2, -1, 1], [2, 0, 1]]), np.array([[4, 3], [0, 0]])
    op = reading(tmp_path)
    got = op(dict(zip(("candidate_rows", "history"), asked, strict=True)))
    np.testing.assert_array_equal(got["transitions"], Transitions.open(tmp_path)(asked[1], asked[0], 2))
    after_4, after_3 = got["transitions"][0, 0], got["transitions"][0, 2]
    assert after_4[0] > 0 and after_3[0] == 0 < after_3[1]  # the last item is 4, the one before it 3
    assert not got["transitions"][0, 1].any() and not got["transitions"][1, :, :2].any()


def test_takes_rows_and_fills_zeros_where_there_is_no_candidate(tmp_path):
    got = loaded(tmp_path)({"candidate_rows": np.array([[2, -1]], dtype=np.int64)})
    assert got["brand"].tolist() == [[[7], [0]]]
    assert got["genres"].tolist() == [[[4, 5], [0, 0]]]
    assert got["price"].tolist() == [[[2.5], [0.0]]]
    assert got["item_vectors"].tolist() == [[[6, 7, 8], [0, 0, 0]]]


def test_tables_are_memory_mapped(tmp_path):
    assert all(isinstance(table.base, np.memmap) for table in loaded(tmp_path).tables.values())


def test_a_later_answer_does_not_change_an_earlier_one(tmp_path):
    op = loaded(tmp_path)
    first = op({"candidate_rows": np.array([[2, 1]], dtype=np.int64)})["item_vectors"]
    op({"candidate_rows": np.array([[0, -1]], dtype=np.int64)})
    assert first.tolist() == [[[6, 7, 8], [3, 4, 5]]]


def test_another_dtype_on_disk_is_refused(tmp_path):
    op = loaded(tmp_path)
    np.save(tmp_path / "price.npy", np.zeros((3, 1)))
    with pytest.raises(ArtifactError, match="price.npy: expected float32, holds float64"):
        op.load(tmp_path)


def test_tables_of_different_catalogues_are_refused(tmp_path):
    op = loaded(tmp_path)
    np.save(tmp_path / "price.npy", np.zeros((4, 1), dtype=np.float32))
    with pytest.raises(ArtifactError, match="item snapshot"):
        op.load(tmp_path)
