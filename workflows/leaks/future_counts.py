"""Numeric columns that are statistics of the whole log, the held-out part included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import Side
from ..tables.ids import id_columns, rows_of
from ..tables.parquet import row_groups
from ..tables.raw_features import TABLES, RawFeature

if TYPE_CHECKING:
    import pyarrow as pa

SAME_CORRELATION = 0.999
"""Two columns with at least this rank correlation count as the same statistic."""
MIN_DIFFERENT = 100
"""Users or items whose statistic must differ between the whole log and the training part, to tell the two apart."""
Counts = NDArray[np.int64]
"""[2, n]: numbers of interactions and of positives of each user or item."""


def future_statistics(data: Path, features: Sequence[RawFeature]) -> Iterator[str]:
    """A message for each feature that ranks users or items as a statistic of the whole log does.

    Args:
        data: folder of the data artifact.
    """
    dense = [f for f in features if f.role == "continuous" and f.side != "context"]
    if not dense:
        return
    counts = count(data, {feature.side for feature in dense})
    for feature in dense:
        values = _column(data, feature)
        for name, whole, train in statistics(*counts[feature.side]):
            found = whole_log_correlations(values, whole, train)
            if found is not None:
                yield (
                    f"schema.dense: {TABLES[feature.side]}.{feature.name} ranks {TABLES[feature.side]} as their {name} "
                    f"in the whole log does, the held-out part included (rank correlation {found[0]:.4f}; with the "
                    f"training part {found[1]:.4f}): it is computed from the future. Compute it from what came before, "
                    f"or take it out of schema.dense; or set data.leak_check.ignore: [{feature.name}]"
                )
                break


def count(data: Path, sides: set[Side]) -> dict[Side, tuple[Counts, Counts]]:
    """Side -> counts over the whole log, and over its training part."""
    user_ids, item_ids = id_columns(data)
    ids: dict[Side, pa.Array] = {"user": user_ids, "item": item_ids}
    found: dict[Side, tuple[Counts, Counts]] = {}
    for side in sides:
        found[side] = np.zeros((2, len(ids[side])), np.int64), np.zeros((2, len(ids[side])), np.int64)
    for group in row_groups(data / "interactions"):
        table = group.read([*(f"{side}_id" for side in sides), "positive", "split"])
        positive = np.asarray(table["positive"].to_numpy(), bool)
        train = table["split"].to_numpy() == "train"
        for side, sums in found.items():
            rows, n = rows_of(table[f"{side}_id"], ids[side]), len(ids[side])
            for keep, own in zip((np.ones(len(rows), bool), train), sums, strict=True):
                own += np.stack([np.bincount(rows[some], minlength=n) for some in (keep, keep & positive)])
    return found


def statistics(whole: Counts, train: Counts) -> Iterator[tuple[str, NDArray[Any], NDArray[Any]]]:
    """Name and values [n], over the whole log and over the training part; a rate of no interactions is NaN."""
    yield "number of interactions", whole[0], train[0]
    yield "number of positives", whole[1], train[1]
    with np.errstate(invalid="ignore"):
        yield "rate of positives", whole[1] / whole[0], train[1] / train[0]


def whole_log_correlations(
    values: NDArray[np.float64], whole: NDArray[Any], train: NDArray[Any]
) -> tuple[float, float] | None:
    """Spearman's correlations of ``values`` [n] with a statistic of the whole log and of the training part.

    They are computed over the users or items whose statistic differs between the two.

    Returns:
        None unless ``values`` is the statistic of the whole log rather than of the training part.
    """
    from scipy.stats import spearmanr

    keep = np.isfinite(values) & np.isfinite(whole) & np.isfinite(train) & (whole != train)
    if keep.sum() < MIN_DIFFERENT or min(len(np.unique(part[keep])) for part in (values, whole, train)) < 3:
        return None
    of_whole, of_train = (abs(float(spearmanr(values[keep], part[keep])[0])) for part in (whole, train))
    return (of_whole, of_train) if of_whole >= SAME_CORRELATION and of_train < of_whole else None


def _column(data: Path, feature: RawFeature) -> NDArray[np.float64]:
    """The feature's column: float64 [n], NaN where missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(data / f"{TABLES[feature.side]}.parquet", columns=[feature.name])
    return np.asarray(table[feature.name].cast(pa.float64(), safe=False).to_numpy(), np.float64)
