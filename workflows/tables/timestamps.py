"""Timestamps of interactions: what their numbers mean, whether they come from a clock, and their range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from .canonical import STEPS, as_floats, as_text, kind_of, largest_exact, one_array, whole_numbers
from .parquet import batches
from .rows import ROWS, Rows
from .time_range import TimeRange
from .times import FINE, NUMBER, iso_text, microseconds

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 1_000_000
"""Rows read at once."""
LAST = 9_200_000_000_000_000
"""Microseconds since 1970 that nanoseconds in 64 bits hold."""
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
        self.range = TimeRange()
        self._kind: pa.DataType | None = None
        self._number: pa.DataType | None = None
        """Of numbers that are text."""
        self._largest = 0.0
        self._fractions = False

    def read(self, column: pa.ChunkedArray, rows: Rows = ROWS) -> pa.Array:
        """A chunk as int64 or float64 numbers, in the steps that ``column`` has.

        Args:
            rows: names the chunk's rows, for messages.

        Raises:
            DataError: naming the row of a missing value, or of text that is no time; or the type.
        """
        array = one_array(column)
        if self._kind not in (None, array.type):
            raise DataError(
                f"interactions.timestamp, from {rows(0)} on: wrong type {array.type}, was {self._kind} before"
            )
        self._kind = array.type
        numbers = self._numbers(array, rows)
        if numbers.null_count:
            row = numbers.is_null().index(True).as_py()
            raise DataError(f"interactions.timestamp, {rows(row)}: missing; fill it, or leave the row out of the table")
        self._note(np.asarray(numbers), rows)
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

    def _numbers(self, array: pa.Array, rows: Rows) -> pa.Array:
        """``array`` as int64 or float64; sets ``per_second``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        types, where = pa.types, "interactions.timestamp"
        kind = kind_of(array.type)
        if kind == "string":
            array = self._of_text(as_text(array), rows)
            kind = kind_of(array.type)
        if types.is_date(array.type):
            array = array.cast(pa.timestamp("s" if types.is_date32(array.type) else "ms"))
        if types.is_timestamp(array.type):
            self.per_second = STEPS[array.type.unit]
            return array.cast(pa.int64())
        if kind == "int" and not types.is_temporal(array.type):
            return whole_numbers(array, where, rows)
        if kind == "float":
            check_steps(array, rows)
            array = as_floats(array)
            return pc.if_else(pc.is_nan(array), pa.scalar(None, pa.float64()), array)
        raise DataError(f"{where}: wrong type {array.type}, {EXPECTED}")

    def _of_text(self, text: pa.Array, rows: Rows) -> pa.Array:
        """Text as times to the nanosecond, or as the numbers that most of the first chunk are."""
        import pyarrow as pa
        import pyarrow.compute as pc

        number = pc.match_substring_regex(pc.utf8_trim_whitespace(text), NUMBER).fill_null(True)
        if self.per_second is None and self._number is None and pc.mean(number).as_py() > 0.5:
            whole = not pc.any(pc.match_substring(text, ".")).as_py()
            self._number = pa.int64() if whole else pa.float64()
        if self._number is not None:
            return _numbers(text, number, self._number, rows)
        return _parsed(text, None if self.per_second is None else self.per_second == STEPS["ns"], rows)

    def _note(self, times: NDArray[Any], rows: Rows) -> None:
        if not len(times):
            return
        self._largest = max(self._largest, float(np.abs(times).max()))
        if not self._largest < 2**63:
            at = int(np.argmax(~(np.abs(times) < 2**63)))
            raise DataError(f"interactions.timestamp, {rows(at)}: {times[at]} is no time")
        self._fractions = self._fractions or bool((times % (self.per_second or 1) != 0).any())
        self.range.see(times, rows, self.per_second)


def check_steps(times: pa.Array, rows: Rows, where: str = "interactions.timestamp") -> None:
    """No timestamp, and no place in an order, is a float of 32 or 16 bits so large that these are more than 1 apart.

    Another type would hide this, so it is checked before the column is read as one.

    Args:
        times: of any type.
        rows: names their rows.
        where: the column, for messages.

    Raises:
        DataError: naming the first such timestamp.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_float32(times.type) or pa.types.is_float16(times.type)):
        return
    floats = as_floats(times)
    coarse = pc.greater_equal(pc.abs(floats), largest_exact(times.type))
    if pc.any(coarse).as_py():
        row = pc.index(coarse, True).as_py()
        bits = times.type.bit_width
        raise DataError(
            f"{where}, {rows(row)}: {floats[row].as_py():.0f} is too large to be exact as a float of "
            f"{bits} bits, in which near ones are the same; write the table again with integers or floats of 64 bits"
        )


def _parsed(text: pa.Array, nanoseconds: bool | None, rows: Rows) -> pa.Array:
    """ISO 8601 text as times, in UTC where no zone is given.

    Args:
        nanoseconds: whether the chunks before are nanoseconds, else microseconds; None for the first one, which takes
            microseconds only if a year asks for it.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = iso_text(text)
    try:
        times = microseconds(whole).cast(pa.int64())
    except pa.ArrowInvalid:
        row = next(at for at in range(len(whole)) if not _is_time(whole.slice(at, 1)))
        raise DataError(f"interactions.timestamp, {rows(row)}: {text[row].as_py()!r} is no time; {EXPECTED}") from None
    beyond = pc.fill_null(pc.greater(pc.abs(times), LAST), False)
    fine = pc.match_substring_regex(whole, FINE).fill_null(False)
    coarse = pc.any(beyond).as_py() if nanoseconds is None else not nanoseconds
    wrong = fine if coarse else beyond
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise DataError(
            f"interactions.timestamp, {rows(row)}: {text[row].as_py()!r}: nanoseconds go with the years 1678 to "
            "2261 alone, and the column has others; leave out the rows whose time stands for a missing one, or cut the "
            "digits after the sixth off and set data.types: {timestamp: timestamp}"
        )
    if coarse:
        return times.cast(pa.timestamp("us", "UTC"))
    if pc.any(fine).as_py():
        return whole.cast(pa.timestamp("ns", "UTC"))
    return pc.multiply(times, 1000).cast(pa.timestamp("ns", "UTC"))


def _is_time(text: pa.Array) -> bool:
    import pyarrow as pa

    try:
        return len(microseconds(text)) > 0
    except pa.ArrowInvalid:
        return False


def _numbers(text: pa.Array, number: pa.BooleanArray, kind: pa.DataType, rows: Rows) -> pa.Array:
    """Text as numbers of a ``kind``; ``number`` says which look like one.

    Raises:
        DataError: naming the first that is none.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    where = "interactions.timestamp,"
    if not pc.all(number).as_py():
        row = pc.index(number, False).as_py()
        raise DataError(
            f"{where} {rows(row)}: {text[row].as_py()!r} is no number, as the other timestamps are; write it as they "
            "are, e.g. 1700000000"
        )
    bare = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), r"^\+", "")
    fraction = pc.match_substring(bare, ".").fill_null(False)
    if pa.types.is_integer(kind) and pc.any(fraction).as_py():
        row = pc.index(fraction, True).as_py()
        raise DataError(
            f"{where} {rows(row)}: {text[row].as_py()!r} has a fraction, which those before have not; set "
            "data.types: {timestamp: float}"
        )
    try:
        return bare.cast(kind)
    except pa.ArrowInvalid:
        row = next(at for at, value in enumerate(bare.to_pylist()) if value is not None and abs(float(value)) >= 2**63)
    raise DataError(f"{where} {rows(row)}: {text[row].as_py()!r} is no time")
