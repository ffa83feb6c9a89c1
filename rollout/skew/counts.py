"""How often the features that requests saw differ from those that the data and the ETL give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from ...core.signature import Columns, ColumnSpec
from ...ensemble.graph.executor import Executor
from ...ensemble.graph.ops import Transform
from ...ensemble.graph.ops.base import Op
from ...ensemble.protocol.inputs import MISSING
from ...ensemble.protocol.skew_rows import SkewRow, digest, plain
from ...workflows.etl.tensors import Tensors
from .offline import OfflineUsers, Values

STORE, FEATURES = "store", "features"
"""What the feature store gave, and what the transforms made of it."""
BATCH = 512
_CLOSE = 1e-5
"""Difference of numbers that are the same, relative or absolute."""


@dataclass(frozen=True)
class SkewCounts:
    """How often columns of requests differ from what the pipeline computes offline."""

    kept: int
    """Requests in the sample."""
    unknown: int
    """Of users whom the data does not have."""
    later: int
    """That came after the end of the log: what the store gave them cannot be compared."""
    compared: Mapping[str, int]
    """`STORE` and `FEATURES` -> requests that were compared."""
    differ: Mapping[tuple[str, str], int]
    """`STORE` or `FEATURES`, and the column -> requests in which it differs; also columns that never do."""


def count_skew(
    rows: Sequence[SkewRow], key: bytes, release: str, executor: Executor, offline: OfflineUsers, etl: Path
) -> SkewCounts:
    """Compare requests with the data.

    The store's columns are compared with those of the data, for requests before the end of the log. The features are
    those that ``release`` makes of the store's columns; they are compared with what the ETL's tables make of them, and
    with the ETL's own result where the store's columns are those of the data.

    Args:
        key: of the hashes.
        release: id of the one that is judged; of others, only what the store gave counts.
        executor: of this release.
        etl: folder of its etl artifact.
    """
    found = offline.rows(key, {row.user for row in rows})
    known = [row for row in rows if row.user in found]
    users = [found[row.user] for row in known]
    data = offline.raw(known, users) if known else []
    early = [row.at <= offline.cut for row in known]
    differ = Counter[tuple[str, str]]()
    for row, own in ((row, own) for row, own, is_early in zip(known, data, early, strict=True) if is_early):
        _count(differ, STORE, row.raw, own)
    tensors = Tensors.load(etl)
    served, fitted = _transform(executor), Transform.compiled(etl / "transforms")
    fitted.load(etl / "transforms")
    for start in range(0, len(known), BATCH):
        part = slice(start, start + BATCH)
        ids = offline.user_ids[users[part]].tolist()
        makes = _features(served, known[part], ids)
        expected = _features(fitted, known[part], ids)
        for row, user, own, made, right in zip(known[part], users[part], data[part], makes, expected, strict=True):
            right |= (
                _of_etl(tensors, user) if all(_same(row.raw[n], own[n]) for n in own.keys() & row.raw.keys()) else {}
            )
            if row.release == release:  # as it was served
                made = dict(row.features)
                right["user_id"] = [digest(key, code) for code in right.get("user_id", [])]
            _count(differ, FEATURES, made, right)
    compared = {STORE: sum(early), FEATURES: len(known)}
    return SkewCounts(len(rows), len(rows) - len(known), len(known) - sum(early), compared, differ)


def _count(differ: Counter[tuple[str, str]], part: str, one: Mapping[str, list[Any]], other: Values) -> None:
    for name in sorted(one.keys() & other.keys()):
        differ[part, name] += not _same(one[name], other[name])


def _same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    one, other = [*one], [*other]
    return len(one) == len(other) and all(
        a == b or (isinstance(a, float) and isinstance(b, float) and isclose(a, b, rel_tol=_CLOSE, abs_tol=_CLOSE))
        for a, b in zip(one, other, strict=True)
    )


def _transform(executor: Executor) -> Op:
    """The step of a graph that transforms."""
    return next(n.op for n in executor.nodes if HISTORY in n.op.writes and "history_ids" in n.op.reads)


def _features(transform: Op, rows: Sequence[SkewRow], users: Sequence[Any]) -> list[Values]:
    """The features that a step makes of the raw columns of requests."""
    given = {name: [row.raw.get(name, []) for row in rows] for name in transform.reads}
    given["user_id"] = [[user] for user in users]
    columns: Columns = {name: _column(given[name], spec) for name, spec in transform.reads.items()}
    made = {name: plain(column) for name, column in transform(columns).items() if name != "seen_rows"}
    return [{name: values[at] for name, values in made.items()} for at in range(len(rows))]


def _column(values: Sequence[Sequence[Any]], spec: ColumnSpec) -> NDArray[Any]:
    """A column [B, L] of lists of values, padded."""
    fixed = spec.dims[0] if isinstance(spec.dims[0], int) else 0
    column = np.full((len(values), max([fixed or 1, *map(len, values)])), MISSING[spec.dtype], spec.dtype)
    for row, own in enumerate(values):
        column[row, : len(own)] = [MISSING[spec.dtype] if value is None else value for value in own]
    return column


def _of_etl(tensors: Tensors, user: int) -> Values:
    """The features of a user that the ETL has written."""
    return {name: plain(column[user : user + 1])[0] for name, column in tensors.users.items()}
