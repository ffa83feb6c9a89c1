"""The offline tables of the feature store: three parquet files written from the data artifact, in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

EVENT_TIME = "event_timestamp"
ROW_GROUP = 10_000
"""Rows that are read back and written to the online store at once."""
CHUNK = 1_000_000
"""Interactions held at once."""


def arrow_type(kind: str) -> pa.DataType:
    """The parquet type of a column kind: int, float, string, or a list of these."""
    import pyarrow as pa

    scalars = {"int": pa.int64(), "float": pa.float64(), "string": pa.string()}
    return pa.list_(scalars[kind.removeprefix("list_")]) if kind.startswith("list_") else scalars[kind]


def write_entities(source: Path, out: Path, key: str, kinds: Mapping[str, str], time: int) -> int:
    """Copy ``key`` and the columns of ``kinds`` from ``source``, all valid from ``time`` (microseconds) on.

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


def write_history(parts: Sequence[Path], out: Path, kinds: Mapping[str, str], seen: int, unit: int) -> dict[str, int]:
    """Write for every user the last ``seen`` item ids before the test part, most recent first.

    Every interaction counts, whether it was a positive or not. One user's rows must follow one another in ``parts``,
    in time order, as the data stage writes them; so a chunk and the rest of one user are all that is held.
    ``unit`` is what ``time_unit`` says of the timestamps.

    Returns:
        users and item ids written.

    Raises:
        DataError: if a user's rows are scattered.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("user_id", arrow_type(kinds["user_id"])), ("history_ids", arrow_type(f"list_{kinds['item_id']}"))]
        + [(EVENT_TIME, _time_type())]
    )
    users = ids = 0
    with pq.ParquetWriter(out, schema) as writer:
        for table in _by_user(parts, kinds):
            keys, history, times = _last_items(table, seen)
            event = pa.array(times * unit, pa.int64()).cast(_time_type())
            writer.write_table(pa.Table.from_arrays([keys, history, event], schema=schema), row_group_size=ROW_GROUP)
            users, ids = users + len(keys), ids + len(history.values)
    return {"users": users, "ids": ids}


def time_range(parts: Sequence[Path]) -> tuple[int, int]:
    """Smallest and largest timestamp of all interactions."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    low, high = [], []
    for part in parts:
        for batch in pq.ParquetFile(part).iter_batches(CHUNK, columns=["timestamp"]):
            found = pc.min_max(batch.column("timestamp")).as_py()
            low.append(found["min"] or 0)
            high.append(found["max"] or 0)
    return min(low, default=0), max(high, default=0)


def time_unit(largest: int) -> int:
    """Microseconds in one step of the timestamps, judged by their size.

    Seconds since 1970 stay below 1e11 until the year 5138, milliseconds are above it since 1973; a bare order
    (0, 1, 2 ...) counts as seconds.
    """
    return 1_000_000 if largest < 10**11 else 1000 if largest < 10**14 else 1


def _by_user(parts: Sequence[Path], kinds: Mapping[str, str]) -> Iterator[pa.Table]:
    """Tables [user_id, item_id, timestamp] of whole users, without the test part."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rest: pa.Table | None = None
    done: Any = None
    for chunk in _chunks(parts, kinds):
        table = chunk if rest is None else pa.concat_tables([rest, chunk]).combine_chunks()
        users = table.column("user_id")
        last = table.num_rows - pc.sum(pc.equal(users, users[-1])).as_py()
        if last == 0:
            rest = table
            continue
        whole, rest = table.slice(0, last), table.slice(last)
        done = _check_order(whole, done)
        yield whole
    if rest is not None:
        _check_order(rest, done)
        yield rest


def _chunks(parts: Sequence[Path], kinds: Mapping[str, str]) -> Iterator[pa.Table]:
    """Non-empty chunks of interactions before the test part, ids in their own types."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    names = ["user_id", "item_id", "timestamp"]
    for part in parts:
        for batch in pq.ParquetFile(part).iter_batches(CHUNK, columns=[*names, "split"]):
            rows = batch.filter(pc.not_equal(batch.column("split").cast(pa.string()), "test"))
            if rows.num_rows:
                types = [kinds["user_id"], kinds["item_id"], "int"]
                arrays = [_cast(rows.column(name), kind) for name, kind in zip(names, types, strict=True)]
                yield pa.Table.from_arrays(arrays, names=names)


def _check_order(table: pa.Table, done: Any) -> Any:
    """Check that users ascend within ``table`` and after ``done``; returns the last user."""
    import pyarrow.compute as pc

    users = table.column("user_id").combine_chunks()
    ascending = pc.all(pc.less_equal(users[:-1], users[1:])).as_py()
    if ascending is False or (done is not None and users[0].as_py() <= done):
        raise DataError("interactions: expected rows sorted by user_id, found a user's rows scattered")
    return users[-1].as_py()


def _last_items(table: pa.Table, seen: int) -> tuple[pa.Array, pa.ListArray, np.ndarray[Any, Any]]:
    """For every user in ``table``: the id, the last ``seen`` item ids (most recent first), the last timestamp."""
    import pyarrow as pa
    import pyarrow.compute as pc

    users = table.column("user_id").combine_chunks()
    new = pc.not_equal(users[1:], users[:-1]).to_numpy(zero_copy_only=False)
    ends = np.append(np.flatnonzero(new) + 1, len(users))
    lengths = np.minimum(np.diff(ends, prepend=0), seen)
    offsets = np.append(0, np.cumsum(lengths))
    back = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths)
    items = table.column("item_id").combine_chunks().take(pa.array(np.repeat(ends - 1, lengths) - back))
    history = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), items)
    times = table.column("timestamp").to_numpy()[ends - 1]
    return users.take(pa.array(ends - 1)), history, times


def _cast(array: pa.Array, kind: str) -> pa.Array:
    """``array`` in the type of its kind; a null inside a list is dropped, because Feast cannot hold one."""
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
