"""The etl artifact from Python: what models, index and evaluation read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.features import FeatureSchema

if TYPE_CHECKING:
    import scipy.sparse as sp

Split = Literal["train", "valid", "test"]
LABEL = "label:"
"""Before the name of one of ``data.labels`` in the files of interactions."""


@dataclass(frozen=True)
class Interactions:
    """One split's interactions; users and items by row."""

    user_row: NDArray[np.int32]
    """[n]."""
    item_row: NDArray[np.int32]
    """[n]."""
    timestamp: NDArray[np.int64]
    """[n]."""
    positive: NDArray[np.bool_]
    """[n]."""
    label: NDArray[np.float32]
    """[n], 0 or 1."""
    context: dict[str, NDArray[Any]]
    """Feature -> int32 or float32 [n, 1]."""
    history: NDArray[np.int32]
    """[n, length], item codes of the last positives before the event, most recent first, zero-padded."""
    labels: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """``data.labels`` -> [n], 0 or 1."""

    def __len__(self) -> int:
        return len(self.user_row)


@dataclass(frozen=True)
class Tensors:
    """A finished etl artifact; feature tables are memory-mapped."""

    path: Path
    schema: FeatureSchema
    users: dict[str, NDArray[Any]]
    """User feature -> int32 or float32 [n_users, length or 1]; ``history`` belongs to interactions, not here."""
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
        users = {f.name: path / "users" / f"{f.name}.npy" for f in schema.side("user") if f.name != "history"}
        items = {f.name: path / "items" / f"{f.name}.npy" for f in schema.side("item")}
        return cls(
            path,
            schema,
            {name: np.load(file, mmap_mode="r") for name, file in users.items()},
            {name: np.load(file, mmap_mode="r") for name, file in items.items()},
            *(np.load(path / f"{name}.npy") for name in ("user_ids", "item_ids", "item_counts")),
        )

    def interactions(self, split: Split) -> Interactions:
        """All interactions of a split, users ascending, each user's in order of time."""
        import pyarrow.parquet as pq

        files = sorted((self.path / "interactions" / split).glob("*.parquet"))
        if not files:
            return self._none()
        table = pq.read_table(files)
        column = {name: table[name].to_numpy() for name in table.column_names if name != "history"}
        flat = table["history"].combine_chunks().flatten().to_numpy()
        context = {name: column[name][:, None] for name in self.schema.names("context")}
        scalars = {name: column[name] for name in ("user_row", "item_row", "timestamp", "positive", "label")}
        labels = {name.removeprefix(LABEL): values for name, values in column.items() if name.startswith(LABEL)}
        history = flat.reshape(-1, *self.schema["history"].dims)
        return Interactions(**scalars, context=context, history=history, labels=labels)

    def _none(self) -> Interactions:
        types = {"user_row": "i4", "item_row": "i4", "timestamp": "i8", "positive": "?", "label": "f4"}
        context = {
            f.name: np.zeros((0, 1), "i4" if f.kind == "categorical" else "f4") for f in self.schema.side("context")
        }
        history = np.zeros((0, *self.schema["history"].dims), "i4")
        scalars: dict[str, Any] = {name: np.zeros(0, kind) for name, kind in types.items()}
        return Interactions(**scalars, context=context, history=history)

    def before_test(self) -> sp.csr_matrix:
        """Positives of train and valid: float32 1 [n_users, n_items]."""
        import scipy.sparse as sp

        parts = [self.interactions(split) for split in ("train", "valid")]
        rows, columns = (
            np.concatenate([getattr(part, name)[part.positive] for part in parts]) for name in ("user_row", "item_row")
        )
        shape = len(self.user_ids), len(self.item_ids)
        matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        matrix.data[:] = 1.0
        return matrix
