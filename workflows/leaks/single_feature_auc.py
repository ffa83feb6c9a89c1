"""How well one feature alone tells label or positives, on a sample of the training part."""

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

if TYPE_CHECKING:
    import pyarrow as pa

ROWS, GROUPS = 50_000, 16
"""Rows that are looked at, and row groups that they are drawn from."""
FEWEST = 50
"""Positives, and negatives, that an AUC near 1 needs so as not to be chance."""
BINS, FOLDS = 100, 5
PRIOR = 5.0
"""Rows of the overall rate that a value's own rate is mixed with."""


@dataclass(frozen=True)
class Auc:
    """``value``: AUC of ``feature`` against ``target`` (a column of interactions) on ``rows`` rows."""

    feature: RawFeature
    target: str
    value: float
    rows: int


def feature_aucs(data: Path, features: Sequence[RawFeature]) -> list[Auc]:
    """The AUC of each feature of the data artifact in ``data``, against the target that it tells best.

    Empty where the training part has too few negatives or positives, as it has none in a log of positives alone.
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
        found.append(Auc(feature, name, value, len(values)))
    return found


def auc_of(values: pa.ChunkedArray, label: NDArray[np.bool_], owner: NDArray[np.integer[Any]]) -> float:
    """AUC of ``label`` [n] by what is known of it from the value alone.

    Numbers are taken as they are, whichever way they point, and in bins, in which a missing value is one of its own;
    other values by the rate of their labels among other owners, so that a value that only one owner has tells nothing.

    Args:
        owner: [n], the user or item that the value belongs to, or the row.
    """
    from sklearn.metrics import roc_auc_score

    numbers = _numbers(values)
    codes = _codes(values) if numbers is None else _bins(numbers)
    found = float(roc_auc_score(label, out_of_fold_rate(codes, label, owner)))
    there = np.isfinite(numbers) if numbers is not None else np.zeros(len(label), bool)
    if numbers is None or not _enough(label[there]):
        return found
    direct = float(roc_auc_score(label[there], numbers[there]))
    return max(found, direct, 1 - direct)


def out_of_fold_rate(
    codes: NDArray[np.int64], label: NDArray[np.bool_], owner: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Share of positives [n] among the rows of the same code whose owners are in other folds."""
    fold = np.random.default_rng(0).integers(0, FOLDS, int(owner.max()) + 1)[owner]
    size = int(codes.max()) + 1
    shape = (FOLDS, size)
    rows, positives = (np.bincount(fold * size + codes, w, FOLDS * size).reshape(shape) for w in (None, label))
    others, told = (part.sum(axis=0) - part for part in (rows, positives))
    rate = (told + PRIOR * label.mean()) / (others + PRIOR)
    return np.asarray(rate[fold, codes])


def _enough(label: NDArray[np.bool_]) -> bool:
    return bool(FEWEST <= label.sum() <= len(label) - FEWEST)


def _sample(data: Path, context: Sequence[str]) -> pa.Table:
    """About ROWS training interactions, drawn from GROUPS row groups that lie evenly in the log."""
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
    """The feature's raw values in the sample's rows."""
    import pyarrow.parquet as pq

    if feature.side == "context":
        return sample[feature.name]
    return pq.read_table(data / f"{TABLES[feature.side]}.parquet", columns=[feature.name])[feature.name].take(rows)


def _numbers(values: pa.ChunkedArray) -> NDArray[np.float64] | None:
    """float64 [n], NaN where missing; None if the values are text."""
    import pyarrow as pa

    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return None
    return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _codes(values: pa.ChunkedArray) -> NDArray[np.int64]:
    """A number [n] for each different value; 0 where missing."""
    import pyarrow as pa

    indices = pa.compute.dictionary_encode(values).combine_chunks().indices
    return np.asarray(indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64) + 1


def _bins(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Bin [n] of numbers between quantiles; a number of few values has a bin for each, a missing one the last."""
    there = numbers[np.isfinite(numbers)]
    different = np.unique(there)
    cuts = different if len(different) <= BINS else np.unique(np.quantile(there, np.linspace(0, 1, BINS)))
    return np.where(np.isfinite(numbers), np.searchsorted(cuts, numbers), len(cuts) + 1)
