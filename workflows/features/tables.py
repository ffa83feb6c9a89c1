"""The offline tables of the feature store: Parquet files written from the data artifact in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ..tables.canonical import arrow_type
from ..tables.parquet import batches, whole_users
from ..tables.timestamps import to_seconds

if TYPE_CHECKING:
    import pyarrow as pa

EVENT_TIME = "event_timestamp"
ROW_GROUP = 10_000
"""Rows that are read back and written to the online store at once."""
CHUNK = 1_000_000
"""Interactions held at once."""


def write_entities(source: Path, out: Path, key: str, kinds: Mapping[str, str], time: int) -> int:
    """Copy the id column ``key`` and the columns of ``kinds`` from ``source`` to ``out``, all valid from ``time`` on.

    Args:
        kinds: column -> its kind; columns without one are left out.
        time: microseconds since 1970.

    Returns:
        The number of rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [key, *(name for name in kinds if name != key)]
    schema = pa.schema([*((name, arrow_type(kinds[name])) for name in columns), (EVENT_TIME, _time_type())])
    rows = 0
    with pq.ParquetFile(source) as file, pq.ParquetWriter(out, schema) as writer:
        for batch in file.iter_batches(ROW_GROUP, columns=columns):
            arrays = [_cast(batch.column(name), kinds[name]) for name in columns]
            times = pa.array(np.full(batch.num_rows, time), pa.int64()).cast(_time_type())
            writer.write_table(pa.Table.from_arrays([*arrays, times], schema=schema))
            rows += batch.num_rows
    return rows


def write_history(
    parts: Sequence[Path],
    out: Path,
    kinds: Mapping[str, str],
    seen: int,
    unit: int,
    explicit: bool,
    *,
    times: bool = False,
    test_part: bool = True,
) -> dict[str, int]:
    """Write a row for each user: the interactions, as lists with the most recent first.

    ``history_ids`` are the items of the user's positives; an item may occur several times. The ``history`` of the etl
    stage holds their codes, so that a model is served what it was trained on.

    ``rejected_ids`` are the items of the user's other interactions, if feedback is ``explicit``: a user who rated an
    item low does not want it. Each occurs once, without those in ``history_ids``. In a log of impressions the list is
    empty, because an item that was not clicked may be shown again.

    ``history_times``, with ``times``, are the times of ``history_ids`` in whole seconds.

    Args:
        parts: files of interactions; each user's rows must follow one another in order of time, as the data stage
            writes them, so that a chunk and one user are all that is held in memory.
        kinds: user_id and item_id -> int or string.
        seen: the most item ids in a list.
        unit: microseconds in one step of the timestamps, see ``timestamps.time_unit``.
        test_part: whether interactions of the test part count.

    Returns:
        The numbers of users, of ``history_ids`` and of ``rejected_ids``.

    Raises:
        DataError: if a user's rows are scattered.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = arrow_type(f"list_{kinds['item_id']}")
    columns = [("user_id", arrow_type(kinds["user_id"])), ("history_ids", ids), ("rejected_ids", ids)]
    columns += [("history_times", arrow_type("list_int"))] if times else []
    schema = pa.schema([*columns, (EVENT_TIME, _time_type())])
    written = {"users": 0, "history_ids": 0, "rejected_ids": 0}
    with pq.ParquetWriter(out, schema) as writer:
        for table in _by_user(parts, kinds, test_part):
            lists = _lists(table, seen, explicit, unit)
            rows = pa.Table.from_arrays([lists[name] for name in schema.names], schema=schema)
            writer.write_table(rows, row_group_size=ROW_GROUP)
            written["users"] += len(rows)
            for name in ("history_ids", "rejected_ids"):
                written[name] += len(lists[name].values)
    return written


def last_event(history: Path, not_after: int) -> float:
    """The latest time in a file of `write_history` that is not after ``not_after``, in seconds since 1970; 0 if none.

    Later times are typing errors: nothing has happened after the log was read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    end, last = pa.scalar(not_after * 1_000_000, pa.int64()), 0
    for batch in pq.ParquetFile(history).iter_batches(CHUNK, columns=[EVENT_TIME]):
        times = batch.column(0).cast(pa.int64())
        last = max(last, pc.max(times.filter(pc.less_equal(times, end))).as_py() or 0)
    return last / 1_000_000


def _by_user(parts: Sequence[Path], kinds: Mapping[str, str], test_part: bool) -> Iterator[pa.Table]:
    """Tables [user_id, item_id, timestamp, positive] of whole users."""
    last: Any = None
    for table in whole_users(_chunks(parts, kinds, test_part)):
        last = _check_order(table, last)
        yield table


def _chunks(parts: Sequence[Path], kinds: Mapping[str, str], test_part: bool) -> Iterator[pa.Table]:
    """Non-empty chunks of interactions, ids in the types of their kinds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {"user_id": kinds["user_id"], "item_id": kinds["item_id"], "timestamp": "int"}
    for part in parts:
        for batch in batches(part, CHUNK, [*types, "positive", "split"]):
            rows = batch if test_part else batch.filter(pc.not_equal(batch["split"].cast(pa.string()), "test"))
            if rows.num_rows:
                columns = {name: _cast(rows[name].combine_chunks(), kind) for name, kind in types.items()}
                yield pa.table({**columns, "positive": rows["positive"]})


def _check_order(table: pa.Table, done: Any) -> Any:
    """Check that users ascend within ``table``, and from the user ``done`` on; returns the last user."""
    import pyarrow.compute as pc

    users = table.column("user_id").combine_chunks()
    ascending = pc.all(pc.less_equal(users[:-1], users[1:])).as_py()
    if ascending is False or (done is not None and users[0].as_py() <= done):
        raise DataError("interactions: expected rows sorted by user_id, found a user's rows scattered")
    return users[-1].as_py()


def _lists(table: pa.Table, seen: int, explicit: bool, unit: int) -> dict[str, pa.Array]:
    """The columns of ``write_history`` for the users in ``table``, and their last timestamps as ``EVENT_TIME``."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids, items = (table.column(name).combine_chunks() for name in ("user_id", "item_id"))
    new = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    ends = np.append(np.flatnonzero(new) + 1, len(ids))
    user = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    positive = table.column("positive").to_numpy()
    history, offsets = _last(np.flatnonzero(positive), user, len(ends), seen)
    others = np.flatnonzero(~positive & explicit)
    rejected, rejected_offsets = _last(_only_in(others, history, user, items), user, len(ends), seen)
    time = table.column("timestamp").to_numpy()
    seconds = pa.array(to_seconds(time[history], unit), pa.int64())
    return {
        "user_id": ids.take(pa.array(ends - 1)),
        "history_ids": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items.take(pa.array(history))),
        "rejected_ids": pa.ListArray.from_arrays(
            pa.array(rejected_offsets, pa.int32()), items.take(pa.array(rejected))
        ),
        "history_times": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), seconds),
        EVENT_TIME: pa.array(time[ends - 1] * unit, pa.int64()).cast(_time_type()),
    }


def _last(rows: NDArray[Any], user: NDArray[Any], n_users: int, most: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The last ``most`` of each user's ``rows``, the latest first, and the offset of each user.

    Args:
        rows: [m], ascending.
        user: [n], the number of each row's user, ascending.

    Returns:
        Rows, users one after the other, and offsets [n_users + 1].
    """
    ends = np.searchsorted(user[rows], np.arange(n_users), side="right")
    lengths = np.minimum(np.diff(ends, prepend=0), most)
    offsets = np.append(0, np.cumsum(lengths))
    back = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    return rows[np.repeat(ends - 1, lengths) - back], offsets


def _only_in(rows: NDArray[Any], others: NDArray[Any], user: NDArray[Any], items: pa.Array) -> NDArray[Any]:
    """The last of ``rows`` for each pair of user and item, ascending, without the pairs that occur in ``others``."""
    items = items.dictionary_encode()
    pair = user * len(items.dictionary) + items.indices.to_numpy()
    _, at = np.unique(pair[rows[::-1]], return_index=True)
    last = np.sort(rows[::-1][at])
    return last[~np.isin(pair[last], pair[others])]


def _cast(array: pa.Array, kind: str) -> pa.Array:
    """``array`` in the type of ``kind``; nulls inside lists are dropped, because Feast cannot store them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(array.type) and kind == "int":
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    array = array.cast(arrow_type(kind))
    if kind.startswith("list_") and array.flatten().null_count:
        array = pa.array([row and [v for v in row if v is not None] for row in array.to_pylist()], array.type)
    return array


def _time_type() -> pa.DataType:
    import pyarrow as pa

    return pa.timestamp("us", tz="UTC")
