"""How well a single feature predicts the label or the positives, on a sample of the training part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..tables.ids import id_columns, rows_of
from ..tables.parquet import RowGroup, row_groups
from ..tables.raw_features import TABLES, RawFeature
from ..tables.target_encoding import out_of_fold, smoothed_mean

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, GROUPS = 50_000, 16
"""Size of the sample, and the number of row groups that it is drawn from."""
MIN_PER_CLASS = 50
"""Positives, and negatives, that a target needs: with fewer, an AUC near 1 may be chance."""
BINS, FOLDS = 100, 5
PRIOR = 5.0
"""Smoothing of the rate of a value: this many rows with the overall rate are added to its own."""


@dataclass(frozen=True)
class FeatureAuc:
    """The area under the ROC curve of one feature."""

    feature: RawFeature
    target: str
    """The predicted column of interactions: ``label`` or ``positive``."""
    value: float
    rows: int
    """Size of the sample."""


def feature_aucs(data: Path, features: Sequence[RawFeature]) -> list[FeatureAuc]:
    """The AUC of each feature of the data artifact in ``data``, for the target that it predicts best.

    Empty if the training part has too few positives or negatives; a log of positives has no negatives.
    """
    if not features:
        return []
    context = [feature.name for feature in features if feature.side == "context"]
    sample = _sample(data, context)
    targets = {name: label for name, label in _targets(sample) if _enough(label)}
    if not targets:
        return []
    users, items = (
        rows_of(sample[f"{side}_id"], ids) for side, ids in zip(("user", "item"), id_columns(data), strict=True)
    )
    rows = {"user": users, "item": items, "context": np.arange(len(users))}
    found = []
    for feature in features:
        values = _values(data, feature, sample, rows[feature.side])
        scored = [(auc_of(values, label, rows[feature.side]), name) for name, label in targets.items()]
        value, name = max(scored, key=itemgetter(0))
        found.append(FeatureAuc(feature, name, value, len(values)))
    return found


def auc_of(values: pa.ChunkedArray, label: NDArray[np.bool_], owner: NDArray[np.integer[Any]]) -> float:
    """The AUC of predicting ``label`` [n] from ``values`` [n].

    The prediction is the out-of-fold rate of positives among the rows with the same value, numbers in bins. Folds are
    drawn by owner, so that a value of a single owner predicts nothing. The AUC of numbers is at least that of the
    numbers themselves, ascending or descending.

    Args:
        owner: [n], the user or item that the value belongs to, or the row number.
    """
    from sklearn.metrics import roc_auc_score

    numbers = _numbers(values)
    codes = _codes(values) if numbers is None else _bins(numbers)
    found = float(roc_auc_score(label, out_of_fold_rate(codes, label, owner)))
    if numbers is None:
        return found
    present = np.isfinite(numbers)
    if not _enough(label[present]):
        return found
    direct = float(roc_auc_score(label[present], numbers[present]))
    return max(found, direct, 1 - direct)


def out_of_fold_rate(
    codes: NDArray[np.int64], label: NDArray[np.bool_], owner: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """The smoothed share of positives among the rows with the same code in the other folds, float64 [n].

    Folds are drawn by ``owner`` [n].
    """
    fold = np.random.default_rng(0).integers(0, FOLDS, int(owner.max()) + 1)[owner]
    size = int(codes.max()) + 1
    shape = (FOLDS, size)
    rows, positives = (np.bincount(fold * size + codes, w, FOLDS * size).reshape(shape) for w in (None, label))
    rate = smoothed_mean(out_of_fold(positives), out_of_fold(rows), label.mean(), PRIOR)
    return np.asarray(rate[fold, codes])


def _enough(label: NDArray[np.bool_]) -> bool:
    return bool(MIN_PER_CLASS <= label.sum() <= len(label) - MIN_PER_CLASS)


def _sample(data: Path, context: Sequence[str]) -> pa.Table:
    """About ROWS training interactions, drawn from GROUPS evenly spaced row groups."""
    import pyarrow as pa

    every = row_groups(data / "interactions")
    chosen = [every[at] for at in np.unique(np.linspace(0, len(every) - 1, GROUPS).astype(int))]
    rng = np.random.default_rng(0)
    return pa.concat_tables([_drawn(group, context, ROWS // len(chosen), rng) for group in chosen])


def _drawn(group: RowGroup, context: Sequence[str], most: int, rng: np.random.Generator) -> pa.Table:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    stored = pq.read_schema(group.file).names
    wanted = {"user_id", "item_id", "split", "positive", "label", *context}
    table = group.read([name for name in stored if name in wanted])
    table = table.filter(pc.equal(table["split"], "train"))
    if table.num_rows <= most:
        return table
    return table.take(np.sort(rng.choice(table.num_rows, most, replace=False)))


def _targets(sample: pa.Table) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    if "label" in sample.column_names:
        yield "label", sample["label"].to_numpy() > 0
    yield "positive", np.asarray(sample["positive"].to_numpy(), bool)


def _values(data: Path, feature: RawFeature, sample: pa.Table, rows: NDArray[np.integer[Any]]) -> pa.ChunkedArray:
    """The raw values of the feature in the sample's rows [n]."""
    import pyarrow.parquet as pq

    if feature.side == "context":
        return sample[feature.name]
    return pq.read_table(data / f"{TABLES[feature.side]}.parquet", columns=[feature.name])[feature.name].take(rows)


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """The values as float64 [n], NaN where missing; None if they are text."""
    import pyarrow as pa

    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return None
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _codes(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number from 1 on for each different value, int64 [n]; 0 where missing."""
    import pyarrow as pa

    indices = pa.compute.dictionary_encode(values).combine_chunks().indices
    return np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64) + 1


def _bins(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each number [n]: one per value if there are few, else between quantiles; the last is for missing."""
    present = numbers[np.isfinite(numbers)]
    different = np.unique(present)
    cuts = different if len(different) <= BINS else np.unique(np.quantile(present, np.linspace(0, 1, BINS)))
    return np.where(np.isfinite(numbers), np.searchsorted(cuts, numbers), len(cuts) + 1)
