"""The miniature's own ops fulfil the contract as well."""

import numpy as np
import pytest

from cascade.testing.miniature import miniature
from cascade.testing.op_contract import OpContract


def ids(values, strings):
    if strings:
        return np.array(
            [[None if v is None else f"{'u' if v < 1000 else 'i'}{v}" for v in row] for row in values], object
        )
    missing = np.iinfo(np.int64).min
    return np.array([[missing if v is None else v for v in row] for row in values], np.int64)


class MiniatureContract(OpContract):
    strings = False
    step: str

    def make_op(self, folder):
        op = getattr(miniature(folder, string_ids=self.strings).steps, self.step).op
        op.load(folder)
        return op


class TestUsers(MiniatureContract):
    step = "lookup_user"

    def make_batch(self):
        return {"user_id": ids([[100], [105], [7], [111]], self.strings)}


class TestUsersOfStrings(TestUsers):
    strings = True


class TestTransform(MiniatureContract):
    step = "transform"

    def make_batch(self):
        return {
            "user_id": ids([[100], [7], [111]], self.strings),
            "gender": np.array([["F"], [None], ["M"]], dtype=object),
            "hour": np.array([[0], [np.iinfo(np.int64).min], [23]]),
            "history_ids": ids([[1000, 1029], [None, None], [1003, None]], self.strings),
            "rejected_ids": ids([[1002], [None], [None]], self.strings),
            "exclude_items": ids([[1001], [None], [5000]], self.strings),
        }


class TestTransformOfStrings(TestTransform):
    strings = True


@pytest.mark.parametrize("strings", [False, True])
def test_the_op_returns_the_histories_of_the_miniature(tmp_path, strings):
    made = miniature(tmp_path, string_ids=strings)
    op = made.steps.lookup_user.op
    op.load(tmp_path)
    got = op({"user_id": made.user_ids.astype(op.ids)[:, None]})
    missing = None if strings else np.iinfo(np.int64).min
    for name, expected in {"history_ids": made.history, "rejected_ids": made.rejected}.items():
        assert [[item for item in row if item != missing] for row in got[name].tolist()] == expected
