"""The ranker's features as one table of numbers, for gradient boosted trees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...models.training.rows import user_columns
from ...workflows.tables.target_encoding import (
    columns_by_fold,
    draw_folds,
    mean_of_entries,
    out_of_fold,
    smoothed_mean,
)

if TYPE_CHECKING:
    from ...core.features import Feature, FeatureSchema
    from ...models.training.rows import Events
    from ...workflows.etl.tensors import Tensors

FEW = 64
"""A feature with at most this many codes is kept as a category or, if it is a list, as the count of each code. One with
more codes is target encoded."""
ENTRIES = 10
"""Number of entries of a target encoded list that are used, the first ones; in a history these are the most recent."""
FOLDS, PRIOR = 5, 20
"""Folds and smoothing of the target encoding; see `target_encoding`."""
Codes = NDArray[np.integer[Any]]


@dataclass
class ClickTable:
    """The columns of several sets of rows. All ``parts`` have the same ``names`` and ``categorical`` column numbers."""

    parts: list[list[NDArray[np.float32]]]
    names: list[str] = field(default_factory=list)
    categorical: list[int] = field(default_factory=list)

    def add(self, name: str, values: Sequence[NDArray[Any]], categorical: bool = False) -> None:
        """Add a column [n] to each part."""
        if categorical:
            self.categorical.append(len(self.names))
        self.names.append(name)
        for part, own in zip(self.parts, values, strict=True):
            part.append(np.asarray(own, np.float32))

    def matrices(self) -> list[NDArray[np.float32]]:
        """The matrix [n, columns] of each part."""
        return [np.stack(part, axis=1) for part in self.parts]


def row_bytes(schema: FeatureSchema) -> int:
    """Bytes of a row while the table is made, about: all its codes, the entries of one list, and its columns twice."""
    lengths = [feature.dims[0] for feature in schema]
    return 8 * sum(lengths) + 16 * min(ENTRIES, max(lengths)) + 8 * 2 * len(lengths)


def click_table(tensors: Tensors, parts: Sequence[Events], label: NDArray[np.float32], seed: int) -> ClickTable:
    """Numbers unchanged, features with few codes as categories or counts, and features with many codes target encoded.

    Args:
        parts: sets of rows; the first is the training part.
        label: of the training part, [n].
        seed: of the folds.
    """
    table = ClickTable([[] for _ in parts])
    fold = draw_folds(len(label), FOLDS, seed)
    columns = [_columns(tensors, part) for part in parts]
    for feature in tensors.schema:
        values = [own.pop(feature.name) for own in columns]
        if feature.kind == "continuous":
            table.add(feature.name, [own[:, 0] for own in values])
        elif feature.cardinality > FEW:
            _add_encoded(table, feature, [own[:, :ENTRIES] for own in values], label, fold)
        elif feature.length:
            for code in range(1, feature.cardinality):
                table.add(f"{feature.name}_{code}", [(own == code).sum(axis=1) for own in values])
        else:
            table.add(feature.name, [own[:, 0] for own in values], categorical=True)
    return table


def _columns(tensors: Tensors, events: Events) -> dict[str, NDArray[Any]]:
    """All features of the events, [n, L]."""
    items = {name: np.asarray(table)[events.item_row] for name, table in tensors.items.items()}
    return user_columns(tensors, events) | items


def _add_encoded(
    table: ClickTable, feature: Feature, values: Sequence[Codes], label: NDArray[np.float32], fold: NDArray[np.int64]
) -> None:
    """Add the target encoding, and the number of training rows with the code; for a list, its number of entries."""
    codes = [_indicators(own, feature.cardinality) for own in values]
    table.add(f"{feature.name}_rate", encode(codes, label, fold))
    often = np.asarray(codes[0].sum(axis=0)).ravel()
    counts = [np.diff(own.indptr) if feature.length else own @ often for own in codes]
    table.add(f"{feature.name}_count", counts)


def encode(codes: Sequence[csr_matrix], label: NDArray[np.float32], fold: NDArray[np.int64]) -> list[NDArray[Any]]:
    """The smoothed mean label of each row's codes, float64 [n] for each of ``codes`` [n, C]; see `target_encoding`.

    The first of ``codes`` are the training rows, which ``label`` and ``fold`` [n] belong to: they are encoded out of
    fold. A row without codes gets the mean of all labels.
    """
    mean = label.mean(dtype=np.float64)
    train = columns_by_fold(codes[0], fold, FOLDS)
    sums = (train.T @ np.stack([label, np.ones_like(label)], axis=1).astype(np.float64)).reshape(FOLDS, -1, 2)

    def rates(entries: csr_matrix, of_codes: NDArray[np.float64]) -> NDArray[np.float64]:
        rate = smoothed_mean(of_codes[..., 0], of_codes[..., 1], mean, PRIOR).ravel()
        return np.where(np.diff(entries.indptr) > 0, mean_of_entries(entries, rate), mean)

    return [rates(train, out_of_fold(sums)), *(rates(own, sums.sum(axis=0)) for own in codes[1:])]


def _indicators(codes: Codes, cardinality: int) -> csr_matrix:
    """Sparse [n, cardinality]: 1 if the row of ``codes`` [n, L] holds the code. Padding, code 0, is ignored."""
    some = codes != 0
    ends = np.concatenate([[0], some.sum(axis=1).cumsum()])
    cells = (np.ones(ends[-1], np.float32), codes[some].astype(np.int32), ends)
    found = csr_matrix(cells, shape=(len(codes), cardinality))
    found.sum_duplicates()
    found.data[:] = 1
    return found
