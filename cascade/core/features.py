"""The model-ready features: what the ETL writes, the models take and the served graph computes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Side = Literal["user", "item", "context"]
Kind = Literal["categorical", "continuous", "vector"]

HISTORY, GAP = "history", "history_gap"
"""Features of the user's side that belong to a moment: what the user did before an event, and when."""


@dataclass(frozen=True)
class Feature:
    """One model input column after the transforms.

    Categorical: int64 codes [B, length or 1]; 0 is padding, 1 .. are codes, out-of-vocabulary included, all
    below ``cardinality``. Continuous: float32 [B, 1]. Vector: float32 [B, length], of length 1 or, where it is missing,
    all 0. ``vocabulary`` names the feature whose codes this one shares (``history`` shares ``item_id``'s).
    """

    name: str
    side: Side
    kind: Kind
    cardinality: int = 0
    length: int | None = None
    """Fixed length of a list feature, zero-padded at the end, or numbers of a vector; None for a scalar."""
    vocabulary: str | None = None
    raw: tuple[str, ...] = ()
    """The raw columns that it is computed from; more than one for a cross."""

    @property
    def dims(self) -> tuple[int, ...]:
        return (self.length or 1,)

    @property
    def dtype(self) -> str:
        return "int64" if self.kind == "categorical" else "float32"


@dataclass(frozen=True)
class FeatureSchema:
    """All features of a pipeline, in the order in which models take them."""

    features: tuple[Feature, ...]

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __getitem__(self, name: str) -> Feature:
        return next(f for f in self.features if f.name == name)

    def side(self, *sides: Side) -> tuple[Feature, ...]:
        """The features of these sides, in order."""
        return tuple(f for f in self.features if f.side in sides)

    def names(self, *sides: Side) -> Sequence[str]:
        return [f.name for f in self.features if not sides or f.side in sides]

    def save(self, file: Path) -> None:
        file.write_text(json.dumps([asdict(f) for f in self.features], indent=1))

    @classmethod
    def load(cls, file: Path) -> FeatureSchema:
        rows = json.loads(file.read_text())
        return cls(tuple(Feature(**{**row, "raw": tuple(row["raw"])}) for row in rows))
