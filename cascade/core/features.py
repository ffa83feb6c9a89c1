"""Transformed features: written by the ETL, read by the models, and computed by the served graph."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from .files import read_json

Side = Literal["user", "item", "context"]
Kind = Literal["categorical", "continuous", "vector"]

HISTORY, GAP = "history", "history_gap"
"""User features that depend on the time of an event: the items before it, and the gaps between them."""


def ascii_name(name: str) -> str:
    """``name`` in letters, digits, ``_`` and ``-`` of ASCII, different for each name; most names stay as they are.

    TensorFlow's scopes take no others, nor do file names in the Python of Triton's stubs.
    """
    return "".join(sign if sign.isascii() and (sign.isalnum() or sign == "_") else f"-{ord(sign):x}-" for sign in name)


@dataclass(frozen=True)
class Feature:
    """One input column of a model, after the transforms.

    Categorical: int64 codes [B, length or 1]; 0 is padding, the codes are 1 .. cardinality - 1, with one for values
    out of vocabulary. Continuous: float32 [B, 1]. Vector: float32 [B, length] with L2 norm 1, or all 0 if missing.
    """

    name: str
    side: Side
    kind: Kind
    cardinality: int = 0
    length: int | None = None
    """Length of a list, which is zero-padded at the end, or of a vector; None for a scalar."""
    vocabulary: str | None = None
    """Feature whose codes this one shares: ``item_id`` for ``history``."""
    raw: tuple[str, ...] = ()
    """Raw columns that it is computed from; several for a cross."""
    ordered: bool = True
    """Whether the positions of a list mean something: False for ``history`` where interactions have no times."""

    @property
    def dims(self) -> tuple[int, ...]:
        return (self.length or 1,)

    @property
    def dtype(self) -> str:
        return "int64" if self.kind == "categorical" else "float32"


@dataclass(frozen=True)
class FeatureSchema:
    """All features of a pipeline, in the order of the models' inputs."""

    features: tuple[Feature, ...]

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __getitem__(self, name: str) -> Feature:
        return next(f for f in self.features if f.name == name)

    def side(self, *sides: Side) -> tuple[Feature, ...]:
        """The features of these sides, in order."""
        return tuple(f for f in self.features if f.side in sides)

    def names(self, *sides: Side) -> Sequence[str]:
        """Names of the features of these sides, in order; of all features if no side is given."""
        return [f.name for f in self.features if not sides or f.side in sides]

    def save(self, file: Path) -> None:
        file.write_text(json.dumps([asdict(f) for f in self.features], indent=1))

    @classmethod
    def load(cls, file: Path) -> FeatureSchema:
        rows = read_json(file)
        return cls(tuple(Feature(**{**row, "raw": tuple(row["raw"])}) for row in rows))
