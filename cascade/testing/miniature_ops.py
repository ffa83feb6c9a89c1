"""Replacements for the ops that need a feature store and fitted transforms; they read small tables instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..core.signature import Columns, ColumnSpec, Signature
from ..ensemble.graph.ops import OPS
from ..ensemble.graph.ops.base import Op
from ..ensemble.protocol.inputs import MISSING


@dataclass
class MiniatureUsers(Op):
    """Looks users up in ``users.npz``.

    user_id [B, 1] -> gender object [B, 1], history_ids [B, S], rejected_ids [B, X], known_user and features_stale
    bool [B, 1].
    """

    ids: str

    kind: ClassVar[str] = "miniature_users"
    row: dict[Any, int] = field(init=False, repr=False, compare=False)
    gender: NDArray[Any] = field(init=False, repr=False, compare=False)
    history: NDArray[Any] = field(init=False, repr=False, compare=False)
    rejected: NDArray[Any] = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        return {"user_id": ColumnSpec(self.ids)}

    @property
    def writes(self) -> Signature:
        return {
            "gender": ColumnSpec("object"),
            "history_ids": ColumnSpec(self.ids, ("S",)),
            "rejected_ids": ColumnSpec(self.ids, ("X",)),
            "known_user": ColumnSpec("bool"),
            "features_stale": ColumnSpec("bool"),
        }

    def load(self, folder: Path) -> None:
        """Read user_id [U], gender [U], history and rejected [U, S], padded with "" or the missing integer."""
        with np.load(folder / "users.npz") as tables:
            self.row = {value: row for row, value in enumerate(tables["user_id"].tolist())}
            self.gender = np.array([*tables["gender"].tolist(), None], dtype=object)
            self.history, self.rejected = (self._with_unknown_user(tables[name]) for name in ("history", "rejected"))

    def __call__(self, columns: Columns) -> Columns:
        rows = np.array([[self.row.get(value, -1)] for value in columns["user_id"][:, 0].tolist()], dtype=np.int64)
        rows = rows.reshape(-1, 1)
        return {
            "gender": self.gender[rows],
            "history_ids": self._lists(self.history, rows),
            "rejected_ids": self._lists(self.rejected, rows),
            "known_user": rows >= 0,
            "features_stale": np.zeros(rows.shape, dtype=bool),
        }

    def _with_unknown_user(self, table: NDArray[Any]) -> NDArray[Any]:
        """``table`` [U, S] in the op's dtype, with a further row of missing values for unknown users."""
        known: NDArray[Any] = table.astype(self.ids)
        if self.ids == "object":
            known[known == ""] = None
        return np.concatenate([known, np.full((1, known.shape[1]), MISSING[self.ids], dtype=self.ids)])

    def _lists(self, table: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
        """Rows ``rows`` [B, 1] of ``table`` [U + 1, S], cut to the longest list."""
        found = table[rows[:, 0]]
        longest = int((found != MISSING[self.ids]).sum(axis=1).max(initial=0))
        return np.asarray(found[:, :longest])


@dataclass
class MiniatureTransform(Op):
    """Turns raw columns into codes; 1 is out of vocabulary. Loads ``ids.npz``: user_id [U], item_id [I]."""

    ids: str
    length: int = 4
    """Length of the history that the models read."""

    kind: ClassVar[str] = "miniature_transform"
    users: dict[Any, int] = field(init=False, repr=False, compare=False)
    items: dict[Any, int] = field(init=False, repr=False, compare=False)

    @property
    def reads(self) -> Signature:
        return {
            "user_id": ColumnSpec(self.ids),
            "gender": ColumnSpec("object"),
            "hour": ColumnSpec("int64"),
            "history_ids": ColumnSpec(self.ids, ("S",)),
            "rejected_ids": ColumnSpec(self.ids, ("X",)),
            "exclude_items": ColumnSpec(self.ids, ("E",)),
        }

    @property
    def writes(self) -> Signature:
        return {
            "user_id": ColumnSpec("int64"),
            "gender": ColumnSpec("int64"),
            "hour": ColumnSpec("float32"),
            "history": ColumnSpec("int64", (self.length,)),
            "seen_rows": ColumnSpec("int64", ("seen",)),
        }

    def load(self, folder: Path) -> None:
        with np.load(folder / "ids.npz") as tables:
            self.users = {value: row for row, value in enumerate(tables["user_id"].tolist())}
            self.items = {value: row for row, value in enumerate(tables["item_id"].tolist())}

    def __call__(self, columns: Columns) -> Columns:
        batch = len(columns["user_id"])
        hour = columns["hour"]
        past = self._rows(columns["history_ids"])
        history = np.zeros((batch, self.length), dtype=np.int64)
        history[:, : past.shape[1]] = np.where(past < 0, 0, past + 2)[:, : self.length]
        return {
            "user_id": _codes(columns["user_id"], self.users) + 2,
            "gender": _codes(columns["gender"], {"F": 0, "M": 1}) + 2,
            "hour": np.where(hour == MISSING["int64"], 0, hour / 24).astype(np.float32),
            "history": history,
            "seen_rows": np.concatenate(
                [past, self._rows(columns["rejected_ids"]), self._rows(columns["exclude_items"])], axis=1
            ),
        }

    def _rows(self, values: NDArray[Any]) -> NDArray[np.int64]:
        return _codes(values, self.items)


def _codes(values: NDArray[Any], table: dict[Any, int]) -> NDArray[np.int64]:
    """Positions of ``values`` in ``table``, int64 of the same shape; -1 for values that are not in it."""
    found = [table.get(value, -1) for value in values.ravel().tolist()]
    return np.array(found, dtype=np.int64).reshape(values.shape)


OPS[MiniatureUsers.kind] = MiniatureUsers
OPS[MiniatureTransform.kind] = MiniatureTransform
