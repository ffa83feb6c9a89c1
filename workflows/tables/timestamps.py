"""Timestamps of interactions: what their numbers mean, whether they come from a clock, and their range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from .canonical import STEPS, as_floats, as_text, kind_of, one_array, whole_numbers
from .parquet import batches

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 1_000_000
"""Rows read at once."""
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
ZONE = r"[ T][0-9].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
NANOSECONDS = 10**17
"""Numbers from here on are nanoseconds: as microseconds they would lie beyond the year 5138."""
EXPECTED = "expected e.g. 2024-01-31 10:00:00 or 2024-01-31T10:00:00.5+02:00, or a number of seconds since 1970"


def time_unit(largest: int) -> int:
    """Microseconds in one step of timestamps up to microseconds, judged by the largest of them.

    Seconds since 1970 stay below 1e11 until the year 5138; milliseconds have been above 1e11 since 1973. A plain order
    (0, 1, 2 ...) counts as seconds.
    """
    return 1_000_000 if largest < 10**11 else 1000 if largest < 10**14 else 1


def is_clock(seconds: int) -> bool:
    """Whether timestamps up to so many ``seconds`` can come from a clock: since 1973, they have been above 1e8."""
    return seconds >= 10**8


def to_seconds(times: NDArray[np.int64], unit: int) -> NDArray[np.int64]:
    """Timestamps in whole seconds; ``unit`` is the number of microseconds in one step."""
    return times * unit // 1_000_000


def in_seconds(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers [n] of seconds, milliseconds, microseconds or nanoseconds, judged by the largest, in whole seconds."""
    largest = int(np.abs(times).max(initial=0))
    return times // 10**9 if largest >= NANOSECONDS else to_seconds(times, time_unit(largest))


def time_range(files: Sequence[Path]) -> tuple[int, int]:
    """Smallest and largest timestamp in Parquet files of interactions; (0, 0) if they have no rows."""
    import pyarrow.compute as pc

    low, high = [], []
    for file in files:
        for batch in batches(file, CHUNK, ["timestamp"]):
            found = pc.min_max(batch["timestamp"]).as_py()
            low.append(found["min"] or 0)
            high.append(found["max"] or 0)
    return min(low, default=0), max(high, default=0)


@dataclass(frozen=True)
class TimeScale:
    """How the numbers that a `TimeReader` has returned become the timestamps of the data artifact."""

    multiply: int
    divide: int
    unit: int
    """Microseconds in one step of the result: 1,000,000, 1,000 or 1."""

    def __call__(self, times: NDArray[Any]) -> NDArray[np.int64]:
        """Timestamps [n], int64; numbers with a fraction are rounded."""
        if times.dtype.kind == "f":
            times = np.rint(times * self.multiply).astype(np.int64)
            return times // self.divide
        return times * self.multiply // self.divide


class TimeReader:
    """Reads the column ``timestamp`` chunk by chunk, without loss: dates, times, text and numbers.

    What plain numbers mean is known once all of them have been read; `scale` then says it.
    """

    def __init__(self) -> None:
        self.per_second: int | None = None
        """Steps in a second, of dates, times and text; None for plain numbers."""
        self._kind: pa.DataType | None = None
        self._largest = 0.0
        self._fractions = False

    def read(self, column: pa.ChunkedArray, start: int) -> pa.Array:
        """A chunk as int64 or float64 numbers, in the steps that ``column`` has.

        Args:
            start: row number of the chunk's first row, for messages.

        Raises:
            DataError: naming the row of a missing value, or of text that is no time; or the type.
        """
        array = one_array(column)
        if self._kind not in (None, array.type):
            raise DataError(
                f"interactions.timestamp, rows from {start}: wrong type {array.type}, was {self._kind} before"
            )
        self._kind = array.type
        numbers = self._numbers(array, start)
        if numbers.null_count:
            raise DataError(f"interactions.timestamp, row {start + numbers.is_null().index(True).as_py()}: missing")
        self._note(np.asarray(numbers), start)
        return numbers

    def shown(self, times: pa.Array) -> pa.Array:
        """What expressions read: whole seconds of dates and times, else the numbers as they are."""
        import pyarrow as pa

        return pa.array(np.asarray(times) // self.per_second) if self.per_second else times

    @property
    def scale(self) -> TimeScale:
        """What the numbers read so far become."""
        if self.per_second is not None and not self._fractions:
            return TimeScale(1, self.per_second, 1_000_000)
        if self.per_second is not None:
            return TimeScale(max(1, 1_000_000 // self.per_second), max(1, self.per_second // 1_000_000), 1)
        if self._largest >= NANOSECONDS:
            return TimeScale(1, 1000, 1)
        unit = time_unit(int(self._largest))
        return TimeScale(unit, 1, 1) if self._fractions else TimeScale(1, 1, unit)

    def _numbers(self, array: pa.Array, start: int) -> pa.Array:
        """``array`` as int64 or float64; sets ``per_second``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        types, where = pa.types, "interactions.timestamp"
        kind = kind_of(array.type)
        if kind == "string":
            array = _parsed(as_text(array), start)
        if types.is_date(array.type):
            array = array.cast(pa.timestamp("s" if types.is_date32(array.type) else "ms"))
        if types.is_timestamp(array.type):
            self.per_second = STEPS[array.type.unit]
            return array.cast(pa.int64())
        if kind == "int" and not types.is_temporal(array.type):
            return whole_numbers(array, where, lambda at: start + at)
        if kind == "float":
            array = as_floats(array)
            return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
        raise DataError(f"{where}: wrong type {array.type}, {EXPECTED}")

    def _note(self, times: NDArray[Any], start: int) -> None:
        if not len(times):
            return
        self._largest = max(self._largest, float(np.abs(times).max()))
        if not self._largest < 2**63:
            row = start + int(np.argmax(~(np.abs(times) < 2**63)))
            raise DataError(f"interactions.timestamp, row {row}: {times[row - start]} is no time")
        self._fractions = self._fractions or bool((times % (self.per_second or 1) != 0).any())


def _parsed(text: pa.Array, start: int) -> pa.Array:
    """ISO 8601 text as microseconds since 1970, in UTC where no zone is given; digits after the sixth are cut off."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, trimmed = pa.timestamp("us", "UTC"), pc.utf8_trim_whitespace(text)
    trimmed = pc.replace_substring_regex(trimmed, r"(\.[0-9]{6})[0-9]+", r"\1")
    day, zone = (pc.match_substring_regex(trimmed, pattern) for pattern in (DAY, ZONE))
    whole = pc.binary_join_element_wise(trimmed, pc.if_else(day, "T00:00:00Z", pc.if_else(zone, "", "Z")), "")
    try:
        return whole.cast(kind)
    except pa.ArrowInvalid:
        row = next(at for at in range(len(whole)) if not _is_time(whole.slice(at, 1), kind))
    raise DataError(f"interactions.timestamp, row {start + row}: {text[row].as_py()!r} is no time; {EXPECTED}")


def _is_time(text: pa.Array, kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        return bool(text.cast(kind).type == kind)
    except pa.ArrowInvalid:
        return False
