"""Metrics on slices of the test part: new users, new items, head and tail of the catalogue, and values of columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from ..core.errors import ConfigError
from ..core.files import read_json
from ..models import metrics
from ..workflows.tables.validate import nearest
from .held_out import HeldOut, LoggedTest
from .ranking import RankedRows
from .ranking_lists import LIST, Rows

if TYPE_CHECKING:
    from ..workflows.etl.tensors import Tensors

HEAD = 0.5
"""Share of the training positives that belong to the head of the catalogue."""
MOST_VALUES = 10
"""A numeric column with more values is cut into quartiles. Of other columns, only this many values are used, the most
frequent ones."""


@dataclass(frozen=True)
class Slice:
    """A subset of the users, of the items, or of the test interactions: ``mask`` is bool over all of them, by row."""

    name: str
    of: Literal["users", "items", "interactions"]
    mask: NDArray[np.bool_]


def standard(tensors: Tensors) -> list[Slice]:
    """New users, new items, head items and tail items.

    New users have no positive in the training part, new items no interaction. See `head_of` for the head.
    """
    train = tensors.interactions("train")
    positives = np.bincount(train.user_row[train.positive], minlength=len(tensors.user_ids))
    events = np.bincount(train.item_row, minlength=len(tensors.item_ids))
    head = head_of(tensors.item_counts)
    return [
        Slice("new users", "users", positives == 0),
        Slice("new items", "items", events == 0),
        Slice("head items", "items", head),
        Slice("tail items", "items", ~head),
    ]


def head_of(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The smallest set of items that has at least the share ``HEAD`` of all ``counts`` [n_items]; ties in row order."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.zeros(len(counts), bool)
    head[order] = before < HEAD * counts.sum()
    return head


def of_columns(columns: Iterable[str], data: Path, logged: LoggedTest) -> Iterator[Slice]:
    """A slice for each value of the raw columns, in every table that has the column.

    Raises:
        ConfigError: if no table has the column, or it has no values to slice by.
    """
    import pyarrow.parquet as pq

    tables = {name: data / f"{name}.parquet" for name in ("users", "items")}
    for column, having in tables_of(columns, data).items():
        for name in having:
            shown = column if len(having) == 1 else f"{name}.{column}"
            table = logged.table if name == "interactions" else pq.read_table(tables[name], columns=[column])
            for value, mask in by_value(_series(table[column])):
                yield Slice(f"{shown} = {value}", name, mask)  # type: ignore[arg-type]


def tables_of(columns: Iterable[str], data: Path) -> dict[str, list[str]]:
    """Column -> the tables of the data artifact that have it.

    Raises:
        ConfigError: if no table has the column, or it has no values to slice by.
    """
    kinds = read_json(data / "tables.json")["columns"]
    added = {"split": "string", "positive": "int"}
    kinds = {name: kinds[name] for name in ("users", "items")} | {"interactions": kinds["interactions"] | added}
    found = {}
    for column in columns:
        found[column] = [name for name, known in kinds.items() if column in known]
        if not found[column]:
            every = {known for table in kinds.values() for known in table}
            raise ConfigError(
                f"evaluation.slices: {column!r} is in no table, or has no value in any row{nearest(column, every)}"
            )
        for name in found[column]:
            if kinds[name][column] == "list_float":
                raise ConfigError(
                    f"evaluation.slices: {name}.{column} holds lists of fractions, which are no groups; name a "
                    "column of categories, numbers or times, or leave it out"
                )
    return found


def by_value(values: Any) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and mask of each value of a pandas Series.

    Numbers may be cut into quartiles, see `MOST_VALUES`. A row with a list belongs to every value in it.
    """
    import pandas as pd

    flat = values.explode()
    numbers, names = pd.api.types.is_numeric_dtype(values) and flat.nunique() > MOST_VALUES, dict[Any, str]()
    if numbers:
        flat = pd.qcut(flat, 4, duplicates="drop")
        names = _ranges(flat.cat.categories)
    counts = flat.value_counts()
    shown = [*counts.index[counts > 0]] if numbers else [*counts.index[:MOST_VALUES]]
    for value in sorted(shown) if numbers else shown:
        yield names[value] if numbers else str(value), np.asarray((flat == value).groupby(level=0).any(), bool)
    if flat.isna().any():
        yield "missing", np.asarray(flat.isna().groupby(level=0).any(), bool)


def _series(column: Any) -> Any:
    """An Arrow column as a pandas Series, in which whole numbers beside missing values stay whole."""
    import pandas as pd
    import pyarrow as pa

    return column.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def _ranges(intervals: Any) -> dict[Any, str]:
    """Names of intervals: four digits, or as many as make their ends differ, and then without an exponent."""
    ends = {end for interval in intervals for end in (interval.left, interval.right)}
    shown = {digits: {f"{end:.{digits}g}" for end in ends} for digits in range(4, 17)}
    plain = (n for n, texts in shown.items() if len(texts) == len(ends) and (n == 4 or "e" not in "".join(texts)))
    digits = next(plain, 17)
    return {part: f"{part.left:.{digits}g} to {part.right:.{digits}g}" for part in intervals}


def measure_slice(part: Slice, held_out: HeldOut, answers: Rows, rows: RankedRows) -> dict[str, Any]:
    """Metrics of one slice: its users, their recall@10 and ndcg@10, its ranked rows, and their AUC.

    Metrics without data are None. In a slice of items, only these items are relevant, and only users with one of them
    are counted. The recommended lists are not filtered.

    Args:
        answers: [U, LIST].
        rows: what the ranker is measured on.
    """
    keep, relevant = _requests_of(part, held_out)
    owners = {"users": rows.users, "items": rows.items, "interactions": rows.events}
    inside = part.mask[owners[part.of]]
    hits, counts = metrics.find_hits(answers[keep], relevant[keep])
    return {
        "slice": part.name,
        "users": len(counts),
        f"recall@{LIST}": _mean(metrics.recall(hits, counts, LIST)),
        f"ndcg@{LIST}": _mean(metrics.ndcg(hits, counts, LIST)),
        "rows": int(inside.sum()),
        "auc": metrics.auc(rows.logits[inside], rows.label[inside], f"ranker, slice {part.name}"),
    }


def _requests_of(part: Slice, held_out: HeldOut) -> tuple[NDArray[np.bool_], csr_matrix]:
    """Which requests belong to the slice, bool [U], and which items are relevant, bool [U, n_items]."""
    if part.of != "items":
        return part.mask[held_out.rows if part.of == "users" else held_out.events], held_out.relevant
    relevant = csr_matrix(held_out.relevant.astype(np.float32) @ diags(part.mask.astype(np.float32)))
    relevant.eliminate_zeros()
    return np.diff(relevant.indptr) > 0, relevant.astype(bool)


def _mean(values: metrics.Values) -> float | None:
    return float(values.mean()) if len(values) else None


def all_slices(columns: Iterable[str], data: Path, logged: LoggedTest, tensors: Tensors) -> list[Slice]:
    """The standard slices, then those of the columns in ``evaluation.slices``."""
    return [*standard(tensors), *of_columns(columns, data, logged)]
