"""The events that were ingested, each with the arm of its user at its time, and without raw user ids.

A file becomes one part, by a rename when all of it is read, and the part is named by the digest of the file. So a file
that is ingested again is already there. An event that has an id counts once, in however many files it is.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.disk import disk_errors
from ...core.errors import ReleaseError
from ...ensemble.protocol.assignment import Assignment
from ..releases.live_set import LiveSets
from ..releases.writer_lock import only_writer
from .event_file import read_events
from .windows import Window, window_at, windows_of

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER, KEY = ".outcomes", "key"
"""Folder among a model's releases; in it, the file with the key of the digests."""
WAIT_S = 60.0
"""Seconds to wait for another process that ingests."""


@dataclass(frozen=True)
class Ingested:
    """What became of a file."""

    events: int
    """Rows in it."""
    known: bool
    """Whether it was ingested before, so that nothing is done."""
    in_arms: int
    """Events while there was a canary or an A/B test."""


class EventLog:
    """The outcome events of a model.

    Args:
        live_sets: of the model; the events lie beside its audit log.
    """

    def __init__(self, live_sets: LiveSets) -> None:
        self._sets, self.folder = live_sets, live_sets.folder / FOLDER

    def ingest(self, file: Path, progress: Callable[[float], None] = lambda share: None) -> Ingested:
        """Keep the events of a file. Nothing is kept if one of them is bad.

        Args:
            progress: called with the share of the file that is read.

        Raises:
            DataError: as `read_events`.
            ReleaseError: another process ingests for too long, or the audit log is damaged.
            DiskError: the disk is full.
        """
        import pyarrow.parquet as pq

        first = next(iter(events := read_events(file)))
        with disk_errors(f"ingesting {file}", self.folder), only_writer(self.folder, WAIT_S):
            for left in self.folder.glob("*.new"):
                left.unlink()
            part = self.folder / f"{_digest(file)}.parquet"
            if part.exists():
                return Ingested(pq.read_metadata(part).num_rows, True, 0)
            windows, users = self._windows(), Assignment(self._key(), [])
            aside, count, in_arms = part.with_suffix(".new"), 0, 0
            try:
                with pq.ParquetWriter(aside, _schema(), compression="zstd") as out:
                    batch: Any = first
                    while batch is not None:
                        table = _stored(batch[0], users, windows)
                        out.write_table(table)
                        count, in_arms = count + len(table), in_arms + int(np.sum(table["generation"].to_numpy() > 0))
                        progress(batch[1])
                        batch = next(events, None)
                with aside.open("rb") as written:
                    os.fsync(written.fileno())
                aside.replace(part)
            finally:
                aside.unlink(missing_ok=True)
        return Ingested(count, False, in_arms)

    def read(self, columns: Sequence[str], filters: Any = None) -> pa.Table:
        """All events, each one that has an id once.

        ``user`` and ``id`` uint64 (digests; id 0: none), ``time`` int64 (microseconds), ``event`` text, ``value``
        float64 or NaN, ``generation`` int64 (of the window, 0 without arms), ``arm`` int16 (0 is stable).

        Args:
            columns: of these.
            filters: an expression of pyarrow.dataset that events must meet.
        """
        import pyarrow.dataset as ds

        parts = sorted(self.folder.glob("*.parquet"))
        if not parts:
            return _schema().empty_table().select(columns)
        whole = ds.dataset(parts, schema=_schema())
        table = _once(whole.to_table(filter=filters))
        if filters is not None and table["id"].to_numpy().any():
            table = _not_before(table, whole.to_table(["id", "time"], ds.field("id") > 0))
        return table.select(columns)

    def last_ingest_s(self) -> float:
        """When a file was ingested last, seconds since 1970; 0 if none was."""
        return max((part.stat().st_mtime for part in self.folder.glob("*.parquet")), default=0.0)

    def _windows(self) -> list[Window]:
        history = self._sets.history()
        if history.faults:
            raise ReleaseError(f"{history.faults[0]}; without it, nobody's arm can be told")
        return windows_of(history.lines)

    def _key(self) -> str:
        """The key of the digests, which is made once."""
        file = self.folder / KEY
        with suppress(FileNotFoundError):
            return file.read_text()
        aside = file.with_suffix(".new")
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(secrets.token_hex(32))
            out.flush()
            os.fsync(out.fileno())
        aside.replace(file)
        return file.read_text()


def events_of(window: Window) -> Any:
    """The filter of `EventLog.read` for events of a window with arms. An audit log that was begun anew counts its
    generations from 1 again, so the time counts as well."""
    import pyarrow.dataset as ds

    return (ds.field("generation") == window.generation) & (ds.field("time") >= window.start_us)


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = [
        ("user", pa.uint64()),
        ("time", pa.int64()),
        ("event", pa.string()),
        ("value", pa.float64()),
        ("id", pa.uint64()),
        ("generation", pa.int64()),
        ("arm", pa.int16()),
    ]
    return pa.schema(kinds)


def _stored(events: pa.Table, users: Assignment, windows: Sequence[Window]) -> pa.Table:
    """A batch as it is kept."""
    import pyarrow as pa

    coded = events["user_id"].combine_chunks().dictionary_encode()
    ids, at = coded.dictionary.to_numpy(zero_copy_only=False), coded.indices.to_numpy()
    times = events["time"].to_numpy()
    generation, arm = _arms(ids, at, times, windows)
    columns = {
        "user": _digests(users, ids)[at],
        "time": times,
        "event": events["event"].combine_chunks(),
        "value": events["value"].to_numpy(),
        "id": _event_ids(users, events["event_id"], events["event"]),
        "generation": generation,
        "arm": arm,
    }
    return pa.table(columns, schema=_schema())


def _arms(
    ids: NDArray[Any], at: NDArray[Any], times: NDArray[np.int64], windows: Sequence[Window]
) -> tuple[NDArray[np.int64], NDArray[np.int16]]:
    """Generation and arm of each event; 0 and 0 without arms.

    Args:
        ids: the different users.
        at: of each event, the index of its user.
    """
    generation, arm = np.zeros(len(at), np.int64), np.zeros(len(at), np.int16)
    of_event = window_at(windows, times)
    for index in np.unique(of_event):
        if index >= 0 and (window := windows[index]).arms:
            here = of_event == index
            present, inverse = np.unique(at[here], return_inverse=True)
            arm[here] = window.assignment.arms(ids[present])[inverse]
            generation[here] = window.generation
    return generation, arm


def _digests(users: Assignment, ids: NDArray[Any]) -> NDArray[np.uint64]:
    """53 bits of HMAC-SHA256 of each text: two of a million users share theirs with a probability of 1 in 18,000."""
    return (users.points(ids) * 2.0**53).astype(np.uint64)


def _event_ids(users: Assignment, column: Any, kinds: Any) -> NDArray[np.uint64]:
    """A digest of each id and the kind of its event, at least 1; 0 without an id.

    So an impression and its click may both have the id of the request.
    """
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return np.zeros(len(column), np.uint64)
    texts = pc.fill_null(column, "").combine_chunks().to_numpy(zero_copy_only=False)
    pairs = zip(kinds.to_pylist(), texts, strict=True)
    found = _digests(users, np.array([f"{len(kind)} {kind} {text}" for kind, text in pairs], object)) + np.uint64(1)
    return np.where(np.asarray(pc.is_null(column)), np.uint64(0), found)


def _not_before(table: pa.Table, every: pa.Table) -> pa.Table:
    """The events whose id stands nowhere at an earlier time, e.g. in the window before. ``every`` has all ids."""
    import pyarrow as pa

    first = every.group_by("id").aggregate([("time", "min")]).sort_by("id")
    ids, times = table["id"].to_numpy(), table["time"].to_numpy()
    at = np.searchsorted(first["id"].to_numpy(), ids).clip(max=len(first) - 1)
    return table.filter(pa.array((ids == 0) | (times == first["time_min"].to_numpy()[at])))


def _once(table: pa.Table) -> pa.Table:
    """The events without repeated ids: of equal ids the first by time, and then by what they say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = table["id"].to_numpy()
    if not ids.any() or len(np.unique(ids[ids > 0])) == np.count_nonzero(ids):
        return table
    order = [(name, "ascending") for name in ("id", "time", "user", "event", "value")]
    table = table.take(pc.sort_indices(table, order))
    ids = table["id"].to_numpy()
    first = np.ones(len(ids), bool)
    first[1:] = (ids[1:] != ids[:-1]) | (ids[1:] == 0)
    return table.filter(pa.array(first))


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
