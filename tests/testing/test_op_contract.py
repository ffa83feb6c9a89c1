"""The contract catches ops that break it."""

from dataclasses import dataclass

import numpy as np
import pytest

from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.ops.base import Op
from cascade.testing.op_contract import OpContract, assert_row_equal


@dataclass
class Doubled(Op):
    factor: int = 2
    kind = "doubled"

    @property
    def reads(self):
        return {"x": ColumnSpec("float32", ("N",))}

    @property
    def writes(self):
        return {"y": ColumnSpec("float32", ("N",))}

    def __call__(self, columns):
        return {"y": columns["x"] * np.float32(self.factor)}


class ByBatchMean(Doubled):
    def __call__(self, columns):
        return {"y": columns["x"] - columns["x"].mean()}


class InPlace(Doubled):
    def __call__(self, columns):
        columns["x"][:] *= 2
        return {"y": columns["x"].copy()}


class OtherDtype(Doubled):
    def __call__(self, columns):
        return {"y": columns["x"].astype(np.float64)}


class ReadsNothing(Doubled):
    def __call__(self, columns):
        return {"y": np.zeros((3, 2), dtype=np.float32)}


class NotJson(Doubled):
    def params(self):
        return {"factor": {1}}


class TestDoubled(OpContract):
    def make_op(self, folder):
        return Doubled()

    def make_batch(self):
        return {"x": np.arange(6, dtype=np.float32).reshape(3, 2)}


BREAKS = {
    ByBatchMean: "test_batch_equals_its_rows",
    InPlace: "test_leaves_its_inputs_alone",
    OtherDtype: "test_writes_what_it_declares",
    ReadsNothing: "test_reads_what_it_declares",
    NotJson: "test_parameters_survive_json",
}


@pytest.mark.parametrize("kind", BREAKS, ids=lambda kind: kind.__name__)
def test_catches_an_op_that_breaks_it(kind, tmp_path):
    contract = TestDoubled()
    check = getattr(contract, BREAKS[kind])
    arguments = {"op": kind(), "batch": contract.make_batch(), "tmp_path": tmp_path}
    names = check.__code__.co_varnames[1 : check.__code__.co_argcount]
    with pytest.raises((AssertionError, ValueError, TypeError)):
        check(**{name: arguments[name] for name in names})


def test_rows_may_differ_in_trailing_padding_only():
    assert_row_equal("ids", np.array([4, 2, -1, -1]), np.array([4, 2]))
    with pytest.raises(AssertionError, match="only padding"):
        assert_row_equal("ids", np.array([4, 2, 7]), np.array([4, 2]))
    with pytest.raises(AssertionError):
        assert_row_equal("ids", np.array([4, 2]), np.array([4, 3]))
