"""The columns of outcome events: what they must be, and one type for each."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import DataError
from ...workflows.tables.times import NUMBER, iso_text, microseconds, numbers_as_times

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = 1e12
"""Largest amount that is taken for one: the squares of larger ones would drown all others."""
COLUMNS = ("user_id", "time", "event", "value", "event_id")
REVENUE = "revenue"
"""The metric of the values, so no event can be named so."""
LATE_S = 60.0
"""Seconds by which a clock may be ahead of ours."""
MOST = 100
"""Characters of the name of an event."""


def checked(raw: pa.Table, file: Path, before: int) -> pa.Table:
    """The events of a batch: ``user_id`` text, ``time`` int64 in microseconds since 1970, ``event`` text, ``value``
    float64 or NaN, ``event_id`` text or null.

    Args:
        raw: the columns that the file has.
        before: rows of the file before these.

    Raises:
        DataError: naming file, field and the first bad row, counted from 1.
    """
    import pyarrow as pa

    return pa.table(
        {
            "user_id": _ids(raw, "user_id", file, before, needed=True),
            "time": _times(raw["time"].combine_chunks(), file, before),
            "event": _names(raw, file, before),
            "value": _values(raw, file, before),
            "event_id": _ids(raw, "event_id", file, before, needed=False),
        }
    )


def _ids(raw: pa.Table, name: str, file: Path, before: int, *, needed: bool) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if name not in raw.column_names:
        return pa.nulls(len(raw), pa.string())
    column = _plain(raw[name])
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        if pa.types.is_null(kind) and not needed:
            return pa.nulls(len(raw), pa.string())
        raise DataError(f"{file}, {name}: expected integers or text, got {kind}; write ids as the requests have them")
    text = column.cast(pa.string())
    floats = pc.fill_null(pc.match_substring_regex(text, r"^-?\d+\.0$"), False)
    if len(text) and pc.all(floats).as_py():
        got = f"numbers such as {text[0].as_py()}"
        raise DataError(f"{file}, {name}: expected ids as the requests have them, got {got}; write integers")
    bad = pc.fill_null(pc.equal(text, ""), True) if needed else pc.fill_null(pc.equal(text, ""), False)
    _refuse(
        bad, text, f"{file}, {name}", before, "an id", "leave out events without a user" if needed else "leave it out"
    )
    return text


def _times(column: pa.Array, file: Path, before: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    where, advice = f"{file}, time", "write ISO 8601 such as 2026-11-30T08:00:00Z, or seconds since 1970"
    column = _plain(column)
    try:
        if pa.types.is_timestamp(column.type):
            found = column.cast(pa.timestamp("us", column.type.tz), safe=False)
        elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            found = _from_text(column.cast(pa.string()))
        elif pa.types.is_boolean(column.type):
            raise TypeError("true and false are no times")
        else:
            found = numbers_as_times(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, ValueError) as error:
        bad = pa.array([not _is_time(value) for value in column.to_pylist()], pa.bool_())
        _refuse(bad, column, where, before, "a time", advice)
        raise DataError(f"{where}: expected times, got {column.type} ({error}); {advice}") from error
    found = found.cast(pa.int64())
    _refuse(pc.is_null(found), column, where, before, "a time", advice)
    late = pc.greater(found, round((time.time() + LATE_S) * 1e6))
    _refuse(late, column, where, before, "a time up to now", "look at the zone and the clock of the log")
    return found


def _from_text(text: pa.Array) -> pa.Array:
    """Times of ISO 8601 and numbers, side by side."""
    import pyarrow.compute as pc

    number = pc.fill_null(pc.match_substring_regex(text, NUMBER), False)
    numbers = numbers_as_times(pc.if_else(number, text, None).cast("float64"))
    return pc.if_else(number, numbers, microseconds(iso_text(pc.if_else(number, None, text))))


def _is_time(value: Any) -> bool:
    """Whether a single value is a time."""
    import pyarrow as pa

    try:
        found = _from_text(pa.array([value])) if isinstance(value, str) else numbers_as_times(pa.array([value]))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, TypeError, ValueError):
        return False
    return bool(found[0].is_valid)


def _names(raw: pa.Table, file: Path, before: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = _plain(raw["event"])
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"{file}, event: expected text such as impression or click, got {column.type}")
    text = column.cast(pa.string())
    length = pc.fill_null(pc.utf8_length(text), 0)
    bad = pc.or_(pc.equal(length, 0), pc.greater(length, MOST))
    _refuse(bad, text, f"{file}, event", before, f"a name of 1 to {MOST} characters", "e.g. impression or click")
    taken = pc.equal(text, REVENUE)
    _refuse(taken, text, f"{file}, event", before, "another name", "this is the sum of the values; e.g. conversion")
    return text


def _values(raw: pa.Table, file: Path, before: int) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if "value" not in raw.column_names:
        return pa.array(np.full(len(raw), np.nan))
    column, where, advice = _plain(raw["value"]), f"{file}, value", "write an amount such as 9.95, or nothing"
    try:
        found = column.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        bad = pa.array([not _is_number(value) for value in column.to_pylist()], pa.bool_())
        _refuse(bad, column, where, before, "a number", advice)
        raise DataError(f"{where}: expected numbers, got {column.type}; {advice}") from error
    filled = pc.fill_null(found, math.nan)
    infinite = pc.and_(pc.is_valid(found), pc.invert(pc.is_finite(filled)))
    _refuse(infinite, column, where, before, "a finite number", advice)
    huge = pc.and_(pc.is_valid(found), pc.greater(pc.abs(filled), LARGEST))
    _refuse(huge, column, where, before, f"a number from {-LARGEST:g} to {LARGEST:g}", advice)
    return filled


def _is_number(value: Any) -> bool:
    try:
        return value is None or math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _plain(column: Any) -> Any:
    """A column as one array without a dictionary."""
    import pyarrow as pa

    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], whole.type)
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def _refuse(bad: Any, values: Any, where: str, before: int, expected: str, advice: str) -> None:
    """Raise DataError that names the first row where ``bad`` is true."""
    import pyarrow.compute as pc

    row = pc.index(bad, True).as_py()
    if row >= 0:
        got = values[row].as_py()
        told = "nothing" if got is None else repr(got)
        raise DataError(f"{where}, row {before + row + 1}: expected {expected}, got {told}; {advice}")
