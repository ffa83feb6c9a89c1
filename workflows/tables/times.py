"""Times in other forms than Arrow's: text, and numbers whose unit their size says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .canonical import STEPS, as_floats

if TYPE_CHECKING:
    import pyarrow as pa

DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
ZONE = r"[ T][0-9].*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$"
UTC = r"^([^ T]+[ T][^ ]+) ?(UTC|GMT|Z)$"
"""As BigQuery and Ruby write it."""
NUMBER = r"^[+-]?[0-9]{1,19}(\.[0-9]*)?$"
FINE = r"\.[0-9]{7}"
"""Digits below a microsecond."""
BOUNDS = (10**11, 10**14, 10**17)
"""Numbers below these are seconds, milliseconds and microseconds since 1970, and all others nanoseconds."""
UNITS = ("s", "ms", "us", "ns")


def iso_text(text: pa.Array) -> pa.Array:
    """Text that Arrow reads as a time, if it is one: with a zone, and nine digits below a second at most."""
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(text)
    trimmed = pc.replace_substring_regex(trimmed, UTC, r"\1Z")
    trimmed = pc.replace_substring_regex(trimmed, r" ([+-][0-9]{2}(:?[0-9]{2})?)$", r"\1")
    trimmed = pc.replace_substring_regex(trimmed, r"(\.[0-9]{9})[0-9]+", r"\1")
    day, zone = (pc.match_substring_regex(trimmed, pattern) for pattern in (DAY, ZONE))
    return pc.binary_join_element_wise(trimmed, pc.if_else(day, "T00:00:00Z", pc.if_else(zone, "", "Z")), "")


def microseconds(text: pa.Array) -> pa.Array:
    """Of `iso_text`, in UTC; digits below a microsecond are cut off.

    Raises:
        pa.ArrowInvalid: if one is no time.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.replace_substring_regex(text, r"(\.[0-9]{6})[0-9]+", r"\1").cast(pa.timestamp("us", "UTC"))


def numbers_as_times(numbers: pa.Array) -> pa.Array:
    """Integers or floats since 1970 as times to the microsecond in UTC, each in the unit that its size says.

    Raises:
        pa.ArrowInvalid: if one is no time.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = pa.types.is_integer(numbers.type)
    missing = np.asarray(pc.is_null(numbers, nan_is_null=True))
    values = np.asarray(pc.fill_null(numbers.cast(pa.int64()) if whole else as_floats(numbers), 0))
    values = np.where(missing, 0, values)
    if (values == np.iinfo(np.int64).min).any() or not (whole or (np.abs(values) < 2.0**63).all()):
        raise pa.ArrowInvalid("no time")
    unit = np.searchsorted(BOUNDS, np.abs(values), side="right")
    if whole:
        found = values * np.array([10**6, 1000, 1, 1])[unit] // np.where(unit == 3, 1000, 1)
    else:
        found = np.rint(values * np.array([1e6, 1e3, 1.0, 1e-3])[unit]).astype(np.int64)
    return pa.array(found, mask=missing).cast(pa.timestamp("us", "UTC"))


def in_steps(times: pa.Array) -> tuple[pa.Array, int]:
    """Dates, times and durations as int64 steps, and how many of them a second has."""
    import pyarrow as pa

    if pa.types.is_date(times.type):
        times = times.cast(pa.timestamp("s" if pa.types.is_date32(times.type) else "ms"))
    steps = times.cast(pa.int32() if pa.types.is_time32(times.type) else pa.int64()).cast(pa.int64())
    return steps, STEPS[times.type.unit]
