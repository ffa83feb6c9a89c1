"""How many numbers the layers of both models hold for one row of a batch; for the memory estimate."""

from __future__ import annotations

from typing import Any

from ...core.features import Feature
from ..training.memory_estimate import dense_widths
from .feature_vectors import FeatureVectors
from .schema import vocabulary


def row_numbers(model: Any) -> int:
    """Numbers of one row: its embeddings, its pretrained vectors with their projections, the dense layers' outputs."""
    vectors = (f.dims[0] + dim if f.kind == "vector" else f.dims[0] * dim for f, dim in vector_widths(model))
    return sum(vectors) + sum(dense_widths(model))


def vector_widths(model: Any) -> list[tuple[Feature, int]]:
    """Each feature that the model turns into vectors, and their width."""
    sides = [part for part in model.submodules if isinstance(part, FeatureVectors)]
    return [(f, int(side.tables[vocabulary(f)].dim)) for side in sides for f in side.features]
