"""Parts of the test: new users, new items, head and tail of the catalogue, and values of any column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from ..core.errors import ConfigError
from ..models import metrics
from ..workflows.tables.validate import nearest
from .held_out import HeldOut, LoggedTest
from .ranking import RankedRows
from .ranking_lists import LIST, Rows

if TYPE_CHECKING:
    from ..workflows.etl.tensors import Tensors

HEAD = 0.5
"""Share of the training positives that the head of the catalogue takes."""
MOST_VALUES = 10
"""A column of numbers with more values is cut into quarters; of other values, the most frequent ones are shown."""


@dataclass(frozen=True)
class Slice:
    """Some users, some items, or some test interactions: ``mask`` bool over all of them, in row order."""

    name: str
    of: Literal["users", "items", "interactions"]
    mask: NDArray[np.bool_]


def standard(tensors: Tensors) -> list[Slice]:
    """New users have no positive in the training part, new items no interaction; head and tail share its positives."""
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
    """The fewest items that have ``HEAD`` of all ``counts`` [n_items]; ties in row order."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    head = np.zeros(len(counts), bool)
    head[order] = before < HEAD * counts.sum()
    return head


def of_columns(columns: Iterable[str], data: Path, logged: LoggedTest) -> Iterator[Slice]:
    """Slices by the values of raw columns, in whichever tables have them.

    Raises:
        ConfigError: if a column is in none.
    """
    import pyarrow.parquet as pq

    tables = {name: data / f"{name}.parquet" for name in ("users", "items")}
    names = {name: pq.read_schema(file).names for name, file in tables.items()}
    names["interactions"] = logged.table.column_names
    for column in columns:
        having = [name for name, known in names.items() if column in known]
        if not having:
            every = {known for table in names.values() for known in table}
            raise ConfigError(f"evaluation.slices: {column!r} is in no table{nearest(column, every)}")
        for name in having:
            shown = column if len(having) == 1 else f"{name}.{column}"
            table = logged.table if name == "interactions" else pq.read_table(tables[name], columns=[column])
            for value, mask in by_value(table[column].to_pandas()):
                yield Slice(f"{shown} = {value}", name, mask)  # type: ignore[arg-type]


def by_value(values: Any) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """The values of a pandas Series and where they are; quarters of numbers; of a list, wherever it holds the value."""
    import pandas as pd

    flat = values.explode()
    numbers = pd.api.types.is_numeric_dtype(values) and flat.nunique() > MOST_VALUES
    if numbers:
        flat = pd.qcut(flat, 4, duplicates="drop")
    counts = flat.value_counts()
    shown = [*counts.index[counts > 0]] if numbers else [*counts.index[:MOST_VALUES]]
    for value in sorted(shown) if numbers else shown:
        name = f"{value.left:.4g} to {value.right:.4g}" if numbers else str(value)
        yield name, np.asarray((flat == value).groupby(level=0).any(), bool)
    if flat.isna().any():
        yield "missing", np.asarray(flat.isna().groupby(level=0).any(), bool)


def measure_slice(part: Slice, held_out: HeldOut, answers: Rows, rows: RankedRows) -> dict[str, Any]:
    """The cascade on one slice: users, recall@10 and ndcg@10 over them, ranked rows and their AUC; None for no figure.

    A slice of items counts the users who took one of them, and only these items as relevant; lists stay as they are.
    """
    keep, relevant = _asked(part, held_out)
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


def _asked(part: Slice, held_out: HeldOut) -> tuple[NDArray[np.bool_], csr_matrix]:
    """Which requests [U] belong to the slice, and what counts as relevant [U, n_items]."""
    if part.of != "items":
        return part.mask[held_out.rows if part.of == "users" else held_out.events], held_out.relevant
    relevant = csr_matrix(held_out.relevant.astype(np.float32) @ diags(part.mask.astype(np.float32)))
    relevant.eliminate_zeros()
    return np.diff(relevant.indptr) > 0, relevant.astype(bool)


def _mean(values: metrics.Values) -> float | None:
    return float(values.mean()) if len(values) else None


def all_slices(columns: Iterable[str], data: Path, logged: LoggedTest, tensors: Tensors) -> list[Slice]:
    """The standard ones, then those of ``evaluation.slices``."""
    return [*standard(tensors), *of_columns(columns, data, logged)]
