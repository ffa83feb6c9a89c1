"""The ranker's features as one table of numbers, as trees take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...core.target_encoding import columns_by_fold, draw_folds, mean_of_entries, out_of_fold, smoothed_mean
from ...models.training.rows import user_columns

if TYPE_CHECKING:
    from ...core.features import Feature
    from ...models.training.rows import Events
    from ...workflows.etl.tensors import Tensors

FEW = 64
"""A category of at most that many codes stays one, and a list of them becomes a count of each."""
ENTRIES = 10
"""Entries of a longer list that are looked at: of a history the most recent ones."""
FOLDS, PRIOR = 5, 20
"""Parts of the training rows, each encoded by the labels of the others; rows that the mean label counts as."""
Codes = NDArray[np.integer[Any]]


@dataclass
class ClickTable:
    """Columns of several sets of rows; ``names`` and ``categorical`` (positions) hold for each of ``parts``."""

    parts: list[list[NDArray[np.float32]]]
    names: list[str] = field(default_factory=list)
    categorical: list[int] = field(default_factory=list)

    def add(self, name: str, values: Sequence[NDArray[Any]], categorical: bool = False) -> None:
        """A column [n] of each part."""
        if categorical:
            self.categorical.append(len(self.names))
        self.names.append(name)
        for part, own in zip(self.parts, values, strict=True):
            part.append(np.asarray(own, np.float32))

    def matrices(self) -> list[NDArray[np.float32]]:
        """[n, columns] of each part."""
        return [np.stack(part, axis=1) for part in self.parts]


def click_table(tensors: Tensors, parts: Sequence[Events], label: NDArray[np.float32], seed: int) -> ClickTable:
    """Numbers as they are; few codes as a category; many codes by what happened to them in the training part.

    Args:
        parts: the first is the training part, which ``label`` [n] is of.
    """
    table = ClickTable([[] for _ in parts])
    fold = draw_folds(len(label), FOLDS, seed)
    columns = [_columns(tensors, part) for part in parts]
    for feature in tensors.schema:
        values = [own[feature.name] for own in columns]
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
    """Every feature [n, L]."""
    items = {name: np.asarray(table)[events.item_row] for name, table in tensors.items.items()}
    return user_columns(tensors, events) | items


def _add_encoded(
    table: ClickTable, feature: Feature, values: Sequence[Codes], label: NDArray[np.float32], fold: NDArray[np.int64]
) -> None:
    """The mean label of the codes, and how often the training part has them; of a list, how many it holds."""
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
    """1 in [n, cardinality] where a row of ``codes`` [n, L] holds a code; padding, code 0, stays out."""
    rows, places = np.nonzero(codes)
    cells = (np.ones(len(rows), np.float32), (rows, codes[rows, places]))
    found = csr_matrix(cells, shape=(len(codes), cardinality))
    found.data[:] = 1
    return found
