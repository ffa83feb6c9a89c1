"""Read users from a features artifact, as they were before the test part, in place of the online store."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import FeatureStoreError
from .online import FeatureQuery, OnlineRows
from .spec import BEFORE_TEST, FeatureSpec, View
from .values import set_value, value_message

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

HELD = 256 << 20
"""Bytes of row groups that a view holds at once."""


@dataclass(frozen=True)
class ArtifactReader:
    """An `OnlineReader` whose rows are those that a publication of the artifact writes, without the test part."""

    views: tuple[_ViewFile, ...]

    @classmethod
    def open(cls, query: FeatureQuery, folder: Path) -> ArtifactReader:
        """Open the views of ``query`` in the features artifact in ``folder``.

        Raises:
            FeatureStoreError: a view lacks a column.
        """
        spec = FeatureSpec.load(folder)
        views = [view for view in spec.views if view.name in query.views]
        for view in views:
            if lacking := [name for name in query.views[view.name] if name not in view.columns]:
                raise FeatureStoreError(f"{folder}: {view.name} lacks {', '.join(lacking)}, as the data did")
        message = value_message()
        return cls(
            tuple(
                _ViewFile.open(_file(folder, v), v.key, {n: v.columns[n] for n in query.views[v.name]}, message)
                for v in views
            )
        )

    def read(self, keys: Sequence[int | str | None]) -> OnlineRows:
        """The rows for ``keys``; a key of None has no row."""
        found = [view.read(keys) for view in self.views]
        known = [any(rows) for rows in zip(*(part.known for part in found), strict=True)]
        return OnlineRows(known, {name: column for part in found for name, column in part.values.items()})


def _file(folder: Path, view: View) -> Path:
    before = folder / BEFORE_TEST / view.file
    return before if before.is_file() else folder / view.file


@dataclass(frozen=True)
class _ViewFile:
    """The file of a view, with its keys in memory. The row groups that were read last stay in memory."""

    file: pq.ParquetFile
    kinds: dict[str, str]
    keys: pa.Array
    order: pa.Array
    """Rows in ascending order of their keys."""
    starts: np.ndarray[Any, np.dtype[np.int64]]
    """The first row of each row group."""
    message: Any
    held: OrderedDict[int, pa.Table] = field(default_factory=OrderedDict)

    @classmethod
    def open(cls, file: Path, key: str, kinds: dict[str, str], message: Any) -> _ViewFile:
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        opened = pq.ParquetFile(file)
        keys = opened.read([key])[key].combine_chunks()
        sizes = [opened.metadata.row_group(at).num_rows for at in range(opened.num_row_groups)]
        return cls(opened, kinds, keys, pc.sort_indices(keys), np.cumsum([0, *sizes])[:-1], message)

    def read(self, keys: Sequence[int | str | None]) -> OnlineRows:
        rows = [-1 if key is None else self._row(key) for key in keys]
        values: dict[str, list[bytes | None]] = {name: [None] * len(rows) for name in self.kinds}
        groups = np.searchsorted(self.starts, rows, side="right") - 1
        for group in sorted({int(group) for group, row in zip(groups, rows, strict=True) if row >= 0}):
            asked = [at for at, row in enumerate(rows) if row >= 0 and groups[at] == group]
            part = self._group(group).take([rows[at] - int(self.starts[group]) for at in asked])
            for name, kind in self.kinds.items():
                for at, value in zip(asked, part[name].to_pylist(), strict=True):
                    values[name][at] = set_value(self.message(), value, kind).SerializeToString()
        return OnlineRows([row >= 0 for row in rows], values)

    def _row(self, key: int | str) -> int:
        """The row of ``key``; -1 if there is none."""

        def key_at(position: int) -> Any:
            return self.keys[self.order[position].as_py()].as_py()

        at = bisect_left(range(len(self.keys)), key, key=key_at)
        return int(self.order[at].as_py()) if at < len(self.keys) and key_at(at) == key else -1

    def _group(self, group: int) -> pa.Table:
        """A row group; the one that was not read for the longest time makes room for it."""
        if group not in self.held:
            self.held[group] = self.file.read_row_group(group, [*self.kinds])
            while len(self.held) > 1 and sum(table.nbytes for table in self.held.values()) > HELD:
                self.held.popitem(last=False)
        self.held.move_to_end(group)
        return self.held[group]
