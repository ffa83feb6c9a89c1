"""A graph whose users have recorded features, so that its answers do not depend on what a store holds now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Columns, Signature
from .executor import Executor
from .ops.base import Op

KNOWN = "known_user"
"""A column that only the step that looks users up writes."""


@dataclass
class RecordedUsers(Op):
    """Takes the place of the step that looks users up.

    Args:
        lookup: the step.
        user_ids: [R, 1], raw ids; of equal ones the last counts.
        features: what the step wrote for them, [R, ...] each.
    """

    lookup: Op
    user_ids: NDArray[Any]
    features: Columns

    kind: ClassVar[str] = "recorded_users"

    def __post_init__(self) -> None:
        self._rows = {user: row for row, user in enumerate(self.user_ids[:, 0].tolist())}

    @property
    def reads(self) -> Signature:
        return self.lookup.reads

    @property
    def writes(self) -> Signature:
        return self.lookup.writes

    def __call__(self, columns: Columns) -> Columns:
        """The features of users who were recorded; KeyError for any other."""
        rows = np.array([self._rows[user] for user in columns["user_id"][:, 0].tolist()], np.int64)
        return {name: self.features[name][rows] for name in self.writes}


def lookup_of(executor: Executor) -> Op:
    """The step of a graph that looks users up."""
    return next(node.op for node in executor.nodes if KNOWN in node.op.writes)


def with_users(executor: Executor, users: Op) -> Executor:
    """The same graph with another step that looks users up."""
    ops: Mapping[str, Op] = {
        node.name: users if KNOWN in node.op.writes else getattr(node.op, "op", node.op) for node in executor.nodes
    }
    return Executor(executor.inputs, ops, executor.outputs, max_users=executor.max_users, release=executor.release)
