"""Target encoding: a category as the mean label of its rows, drawn towards the mean of all rows.

Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in classification and prediction
problems", 2001. A row's own label must not be part of its encoding, so the rows that means are computed from are
encoded out of fold: each by the rows of the other folds.

The ranker's features from it are in `models.ranker.target_encoding`; the config key is ``dlrm_ranker.rates``.

Shapes: n rows, C codes, F folds, T sums of a code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]


def draw_folds(rows: int, folds: int, seed: int) -> NDArray[np.int64]:
    """The fold [n] of each row, drawn uniformly."""
    return np.random.default_rng(seed).integers(0, folds, rows)


def smoothed_mean(sums: NDArray[Any], counts: NDArray[Any], mean: float | Floats, smoothing: float) -> Floats:
    """(sum + smoothing * mean) / (count + smoothing): as if ``smoothing`` more rows had the label ``mean``.

    Args:
        sums: of labels, any shape.
        counts: of rows, in a shape that broadcasts.
        mean: of all labels; a code without rows gets it.
        smoothing: above 0.
    """
    return np.asarray((sums + smoothing * mean) / (counts + smoothing))


def columns_by_fold(entries: csr_matrix, fold: NDArray[np.int64], folds: int) -> csr_matrix:
    """Entries [n, C] with a column for each code and fold, [n, F * C]: code c of a row in fold f is column f * C + c.

    The transpose times labels [n, T] sums them by fold and code.
    """
    from scipy.sparse import csr_matrix

    rows, codes = entries.shape
    columns = entries.indices + np.repeat(fold * codes, np.diff(entries.indptr))
    return csr_matrix((entries.data, columns, entries.indptr), shape=(rows, folds * codes))


def out_of_fold(sums: NDArray[Any]) -> NDArray[Any]:
    """Sums by fold and code [F, C, ...] -> for each fold, those of all other folds, in the same shape."""
    return np.asarray(sums.sum(axis=0) - sums)


def mean_of_entries(entries: csr_matrix, table: NDArray[Any]) -> Floats:
    """The mean over each row's entries [n, C] of their values in ``table`` [C] or [C, T]; 0 for a row without any."""
    counts = np.maximum(np.diff(entries.indptr), 1)
    return np.asarray((entries @ table) / counts.reshape(-1, *[1] * (table.ndim - 1)))
