"""The etl artifact as arrays: what models, index and evaluation read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...core.features import GAP, HISTORY, FeatureSchema
from ..history.history import Histories, HistoryGaps, Positives
from ..transforms.codes import mapped
from .interaction_files import (
    CONTEXT,
    INTERACTIONS,
    LABELS,
    POSITIVES,
    SCALARS,
)

if TYPE_CHECKING:
    import scipy.sparse as sp

Split = Literal["train", "valid", "test"]


@dataclass(frozen=True)
class Interactions:
    """The n interactions of one split."""

    user_row: NDArray[np.int32]
    """[n]."""
    item_row: NDArray[np.int32]
    """[n]."""
    timestamp: NDArray[np.int64]
    """[n], in the unit of the log."""
    positive: NDArray[np.bool_]
    """[n]."""
    label: NDArray[np.float32]
    """[n], 0 or 1."""
    context: dict[str, NDArray[Any]]
    """Feature -> int32 or float32 [n, 1]."""
    history: NDArray[np.int32] | Histories
    """[n, length], item codes of the last positives before the event, most recent first, zero-padded."""
    labels: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """``data.labels`` -> [n], 0 or 1."""
    history_gap: NDArray[np.int32] | Histories | None = None
    """[n, length], codes of the time gaps of ``history``; only with ``history.gaps``."""

    def __len__(self) -> int:
        return len(self.user_row)


@dataclass(frozen=True)
class Tensors:
    """A finished etl artifact; the arrays of features and interactions are memory-mapped."""

    path: Path
    schema: FeatureSchema
    users: dict[str, NDArray[Any]]
    """User feature -> int32 or float32 [n_users, length or 1], without ``history`` and its gaps (see interactions)."""
    items: dict[str, NDArray[Any]]
    """Item feature -> [n_items, length or 1]."""
    user_ids: NDArray[Any]
    """[n_users] raw ids, int64 or text."""
    item_ids: NDArray[Any]
    """[n_items]."""
    item_counts: NDArray[np.int64]
    """[n_items], positives of the training part."""

    @classmethod
    def load(cls, path: Path) -> Tensors:
        """Open the artifact in ``path``."""
        schema = FeatureSchema.load(path / "schema.json")
        stored = [f.name for f in schema.side("user") if f.name not in (HISTORY, GAP)]
        users = {name: path / "users" / f"{name}.npy" for name in stored}
        items = {f.name: path / "items" / f"{f.name}.npy" for f in schema.side("item")}
        return cls(
            path,
            schema,
            {name: np.load(file, mmap_mode="r") for name, file in users.items()},
            {name: np.load(file, mmap_mode="r") for name, file in items.items()},
            *(np.load(path / f"{name}.npy") for name in ("user_ids", "item_ids", "item_counts")),
        )

    def interactions(self, split: Split) -> Interactions:
        """The interactions of a split, memory-mapped: users ascending, each user's in order of time."""
        folder = self.path / INTERACTIONS / split
        column = {name: mapped(folder / f"{name}.npy") for name in SCALARS}
        context = {name: mapped(folder / CONTEXT / f"{name}.npy")[:, None] for name in self.schema.names("context")}
        labels = {file.stem: mapped(file) for file in sorted((folder / LABELS).glob("*.npy"))}
        positives, end = Positives.open(self.path / POSITIVES), column.pop("history_end")
        of = (positives, column["user_row"], end, self.schema[HISTORY].dims[0])
        gap = HistoryGaps(*of) if GAP in self.schema.names("user") else None
        return Interactions(**column, context=context, history=Histories(*of), labels=labels, history_gap=gap)

    def before_test(self) -> sp.csr_matrix:
        """The positives of train and valid: a float32 matrix of 1 [n_users, n_items]."""
        import scipy.sparse as sp

        parts = [self.interactions(split) for split in ("train", "valid")]
        rows, columns = (
            np.concatenate([getattr(part, name)[part.positive] for part in parts]) for name in ("user_row", "item_row")
        )
        shape = len(self.user_ids), len(self.item_ids)
        matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        matrix.data[:] = 1.0
        return matrix
