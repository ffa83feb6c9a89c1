"""The range of timestamps, and whether all numbers of a column have one unit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from .rows import ROWS, Rows
from .times import BOUNDS, UNITS

NAMES = dict(zip(UNITS, ("seconds", "milliseconds", "microseconds", "nanoseconds"), strict=True))
EARLY, LATE = 315_532_800, 4_102_444_800
"""1980 and 2100, in seconds since 1970."""
CLOCK = 10**8
"""Seconds below which numbers may be a plain order."""
CALENDARS = (
    (20_000, 80_000, True, "days since 1900, as Excel has them"),
    (2_430_000, 2_490_000, True, "Julian days"),
    (630 * 10**15, 663 * 10**15, False, "ticks of .NET (100 ns since the year 1)"),
)
"""From and to, about 1955 to 2105, whether only numbers with a fraction can be no plain order, and what they are."""


class TimeRange:
    """Takes note of timestamps, chunk by chunk."""

    def __init__(self) -> None:
        self._per_second: int | None = None
        self._counts = np.zeros(len(UNITS), np.int64)
        self._first: dict[int, tuple[int, Any]] = {}
        """Unit -> the first row whose size says it, and its value."""
        self._ends: list[tuple[Any, int]] = []
        """The smallest and the largest value, and their rows."""
        self._dates = True
        self._fractions = False
        self._named = ROWS
        """The names of the table's rows."""

    def see(self, times: NDArray[Any], rows: Rows, per_second: int | None) -> None:
        """Take note of ``times`` [n], n > 0.

        Args:
            rows: names the rows of ``times``, for messages.
            per_second: steps in a second, of dates and times; None for plain numbers.
        """
        self._per_second, self._named, start = per_second, replace(rows, start=0), rows.start
        ends = [(times[at], start + int(at)) for at in (times.argmin(), times.argmax())]
        self._ends = [min(*ends, *self._ends), max(*ends, *self._ends, key=lambda end: (end[0], -end[1]))]
        if per_second is not None:
            return
        self._fractions = self._fractions or bool((times % 1 != 0).any())
        self._dates = self._dates and bool(_date_like(times).all())
        unit = np.searchsorted(BOUNDS, np.abs(times), side="right")
        unit[times == 0] = -1
        self._counts += np.bincount(unit[unit >= 0], minlength=len(UNITS))
        for code in np.unique(unit[unit >= 0]).tolist():
            row = int(np.argmax(unit == code))
            self._first.setdefault(code, (start + row, times[row]))

    def check(self) -> None:
        """Check that the sizes of plain numbers say one unit; 0 says none.

        Raises:
            DataError: naming the first row of the unit that fewest have.
        """
        if len(self._first) < 2:
            return
        units = sorted(self._first, key=lambda code: (self._counts[code], self._first[code][0]))
        (row, value), (other_row, other) = self._first[units[0]], self._first[units[-1]]
        odd, most = NAMES[UNITS[units[0]]], NAMES[UNITS[units[-1]]]
        others = f"{self._counts[units[-1]]:,} others are of {most} ({self._named(other_row)}: {other})"
        raise DataError(
            f"interactions.timestamp, {self._named(row)}: {value} is a number of {odd} by its size, and {others}; "
            "write all in one unit, or set data.types: {timestamp: timestamp}, which reads each number by its own "
            "size; if the value stands for a missing time, leave the row out"
        )

    def notices(self) -> list[str]:
        """What a run says of times that are hardly meant."""
        if not self._ends:
            return []
        (low, low_row), (high, high_row) = self._ends
        where, unit = "interactions.timestamp", UNITS[max(self._first, default=0)]
        if (found := self._calendar(low, high)) is not None:
            return [
                f"{where}: {low} to {high} look like {found}, and are read as {NAMES[unit]} since "
                "1970; their order is right, but times in the feature store and history.gaps are not: write 2024-01-31 "
                "or 2024-01-31 10:00:00"
            ]
        steps = self._per_second or {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        first, last = int(low // steps), int(high // steps)
        if (self._per_second is None and max(abs(first), abs(last)) < CLOCK) or EARLY <= first <= last <= LATE:
            return []
        read = f" as {NAMES[unit]} since 1970" if self._per_second is None else ""
        return [
            f"{where}: the times are{read} from {_day(first)} ({self._named(low_row)}) to {_day(last)} "
            f"({self._named(high_row)}); those before 1980 or after 2100 often stand for missing times, or have "
            "another unit: if so, leave these rows out, or write all in one unit"
        ]

    def _calendar(self, low: Any, high: Any) -> str | None:
        """What plain numbers look like, if not like seconds since 1970 or parts of these."""
        if self._per_second is not None or not self._first:
            return None
        if self._dates:
            return "dates written as numbers"
        spans = [each for each in CALENDARS if each[0] <= low <= high <= each[1] and (self._fractions or not each[2])]
        return next((name for *_, name in spans), None)


def _date_like(times: NDArray[Any]) -> NDArray[np.bool_]:
    """Which numbers [n] are a date such as 20240131, or a time such as 20240131235959."""
    day = np.where(times >= 10**13, times // 10**6, times)
    clock = np.where(times >= 10**13, times % 10**6, 0)
    dates = (day >= 19000101) & (day <= 21001231) & (day // 100 % 100 - 1 < 12) & (day // 100 % 100 > 0)
    dates &= (day % 100 > 0) & (day % 100 <= 31) & (day % 1 == 0)
    return np.asarray(dates & (clock // 10**4 < 24) & (clock // 100 % 100 < 60) & (clock % 100 < 61))


def _day(seconds: int) -> str:
    return str(np.datetime64(seconds, "s").astype("datetime64[D]")) if abs(seconds) < 1 << 53 else f"{seconds} s"
