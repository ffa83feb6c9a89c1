"""Raw ids and reasons."""

import numpy as np
import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.ops.respond import Respond
from cascade.testing.op_contract import OpContract


def loaded(folder, ids):
    np.save(folder / "item_ids.npy", ids)
    op = Respond(string_ids=ids.dtype.kind == "U", release="abc")
    op.load(folder)
    return op


def batch():
    return {
        "ranked_rows": np.array([[2, 0, 1], [1, -1, -1], [0, 2, -1], [-1, -1, -1]], dtype=np.int64),
        "known_user": np.array([[True], [True], [False], [False]]),
        "features_stale": np.array([[False], [False], [False], [False]]),
        "top_k": np.array([[3], [3], [2], [1]], dtype=np.int32),
    }


class TestIntIds(OpContract):
    def make_op(self, folder):
        return loaded(folder, np.array([70, 80, 90]))

    def make_batch(self):
        return batch()


class TestStringIds(OpContract):
    def make_op(self, folder):
        return loaded(folder, np.array(["a", "bb", "ccc"]))

    def make_batch(self):
        return batch()


def test_raw_ids_and_reasons(tmp_path):
    got = loaded(tmp_path, np.array([70, 80, 90]))(batch())
    assert got["item_ids"].tolist() == [[90, 70, 80], [80, -1, -1], [70, 90, -1], [-1, -1, -1]]
    assert got["reasons"][:, 0].tolist() == ["", "fewer_items", "unknown_user", "unknown_user,fewer_items"]
    assert got["release"][:, 0].tolist() == ["abc"] * 4


def test_users_are_counted_by_reason(tmp_path):
    op = loaded(tmp_path, np.array([70, 80, 90]))
    assert op.degraded_users == {"features_stale": 0, "unknown_user": 0, "fewer_items": 0}
    op(batch())
    op({**batch(), "features_stale": np.array([[True], [False], [True], [False]])})
    assert op.degraded_users == {"features_stale": 2, "unknown_user": 3, "fewer_items": 4}


def test_string_ids_are_padded_with_empty_strings(tmp_path):
    got = loaded(tmp_path, np.array(["a", "bb", "ccc"]))(batch())["item_ids"]
    assert got.tolist()[:2] == [["ccc", "a", "bb"], ["bb", "", ""]]


@pytest.mark.parametrize("ids", [np.array([70, 80, 90]), np.array(["a", "bb", "ccc"])])
def test_ids_are_memory_mapped(tmp_path, ids):
    assert isinstance(loaded(tmp_path, ids).item_ids.base, np.memmap)


def test_ids_of_another_type_are_refused(tmp_path):
    np.save(tmp_path / "item_ids.npy", np.array([1, 2]))
    with pytest.raises(ArtifactError, match="expected strings, holds int64"):
        Respond(string_ids=True, release="abc").load(tmp_path)


def test_a_store_that_cannot_be_read_gives_no_unknown_user(tmp_path):
    stale = {**batch(), "features_stale": np.ones((4, 1), dtype=bool)}
    got = loaded(tmp_path, np.array([70, 80, 90]))(stale)["reasons"][:, 0].tolist()
    assert got[0] == got[2] == "features_stale" and got[3] == "features_stale,fewer_items"
