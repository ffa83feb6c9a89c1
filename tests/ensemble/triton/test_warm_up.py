"""Warm-up: the first request is not the first run."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from cascade.core.signature import ColumnSpec
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops.base import Op
from cascade.ensemble.protocol.inputs import Input
from cascade.ensemble.triton.warm_up import warm_up

INPUTS = [
    Input("user_id", "object", required=True),
    Input("exclude_items", "int64", ("E",), missing=True),
    Input("top_k", "int32", default=5, minimum=1, maximum=9),
    Input("temperature", "float32", default=0, minimum=0),
]


@dataclass
class Seen(Op):
    """Records its inputs."""

    fails: bool = False
    kind = "seen"
    calls: list = field(init=False, default_factory=list)

    @property
    def reads(self):
        return {spec.name: spec.spec for spec in INPUTS}

    @property
    def writes(self):
        return {"out": ColumnSpec("int64")}

    def __call__(self, columns):
        if self.fails:
            raise ValueError("broken")
        self.calls.append({name: (column.shape, column.ravel().tolist()) for name, column in columns.items()})
        return {"out": np.zeros((len(columns["user_id"]), 1), np.int64)}


def test_one_and_many_users_with_and_without_what_is_optional():
    op = Seen()
    warm_up(Executor(INPUTS, {"seen": op}, ["out"], max_users=8))
    assert [len(call["user_id"][1]) for call in op.calls] == [1, 1, 8, 8]
    assert [call["exclude_items"][0] for call in op.calls] == [(1, 0), (1, 1), (8, 0), (8, 1)]
    assert [call["temperature"][1][0] for call in op.calls] == [0, 0.5, 0, 0.5]
    assert [call["top_k"][1][0] for call in op.calls] == [5, 1, 5, 1]


def test_the_miniature_can_be_warmed(mini_executor):
    warm_up(mini_executor)


def test_a_model_that_cannot_answer_does_not_get_ready():
    with pytest.raises(ValueError, match="broken"):
        warm_up(Executor(INPUTS, {"seen": Seen(fails=True)}, ["out"], max_users=8))


def test_few_users_a_call_are_enough():
    op = Seen()
    warm_up(Executor(INPUTS, {"seen": op}, ["out"], max_users=3))
    assert [len(call["user_id"][1]) for call in op.calls] == [1, 1, 3, 3]
