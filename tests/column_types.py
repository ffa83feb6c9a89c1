"""The types of columns that a table may have, as hypothesis strategies."""

import datetime as dt
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

SMALLEST, LARGEST = -(2**63), 2**63 - 1
EPOCH = dt.datetime(1970, 1, 1)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NINES = dt.datetime(9999, 12, 31, 23, 59, 59)

hundredths = st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100)
whole_seconds = st.datetimes(dt.datetime(1, 1, 1), NINES).map(lambda time: time.replace(microsecond=0))
in_ns = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1)).map(lambda time: time.replace(microsecond=0))
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(lambda t: t.strip() == t)


def seconds(time: dt.datetime) -> int:
    return (time - EPOCH) // dt.timedelta(seconds=1)


def midnight(day: dt.date) -> int:
    return seconds(dt.datetime(day.year, day.month, day.day))


def integers(kind: str, low: int, high: int):
    return (getattr(pa, kind)(), st.integers(max(low, SMALLEST + 1), min(high, LARGEST)), int)


def decimals(precision: int, scale: int):
    high = min(10**precision - 1, LARGEST)
    return (pa.decimal128(precision, scale), st.integers(-high, high).map(Decimal), int)


SCALARS = {
    **{f"int{bits}": integers(f"int{bits}", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": integers(f"uint{bits}", 0, 2**bits - 1) for bits in (8, 16, 32, 64)},
    "decimal of 5 digits": decimals(5, 0),
    "NUMBER of Oracle": decimals(38, 0),
    "decimal256": (pa.decimal256(60, 0), st.integers(-LARGEST, LARGEST).map(Decimal), int),
    "decimal in hundreds": (pa.decimal128(7, -2), st.integers(-99999, 99999).map(lambda n: Decimal(n) * 100), int),
    "bool": (pa.bool_(), st.booleans(), int),
    "float": (pa.float64(), st.floats(allow_nan=False, allow_infinity=False), float),
    "float32": (pa.float32(), st.floats(allow_nan=False, allow_infinity=False, width=32), float),
    "decimal with a fraction": (pa.decimal128(12, 2), hundredths, float),
    "text": (pa.string(), words, str),
    "large text": (pa.large_string(), words, str),
    "text view": (pa.string_view(), words, str),
    "category": (pa.dictionary(pa.int8(), pa.string()), words, str),
    "category of numbers": (pa.dictionary(pa.int32(), pa.int64()), st.integers(SMALLEST + 1, LARGEST), int),
    "date": (pa.date32(), whole_seconds.map(dt.datetime.date), midnight),
    "date64": (pa.date64(), whole_seconds.map(dt.datetime.date), midnight),
    **{f"time in {unit}": (pa.timestamp(unit), in_ns if unit == "ns" else whole_seconds, seconds) for unit in UNITS},
    "time with zone": (pa.timestamp("us", "UTC"), in_ns, seconds),
    "time of day": (pa.time32("s"), st.integers(0, 86399).map(lambda n: (EPOCH + dt.timedelta(seconds=n)).time()),
                    lambda time: time.hour * 3600 + time.minute * 60 + time.second),
    "duration": (pa.duration("ms"), st.integers(-(10**9), 10**9).map(lambda n: dt.timedelta(seconds=n)),
                 lambda gap: gap // dt.timedelta(seconds=1)),
}  # fmt: skip
"""Type, its values, and what each of them is as a canonical value."""

NOT_IN_CSV = ("float32", "text view", "duration", "time of day", "category of numbers")
"""Types whose values a CSV does not hold."""


def as_arrow(kind, values):
    """A column of a Parquet file."""
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    if kind == pa.string_view() or (pa.types.is_decimal(kind) and kind.scale < 0):  # Parquet has neither
        kind = pa.string() if kind == pa.string_view() else pa.decimal128(38, 0)
    return pa.array(values, kind)


def in_csv(value):
    """A value in a CSV."""
    if value is None:
        return ""
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, float) else str(value)
    return '"' + text.replace('"', '""') + '"' if isinstance(value, str) else text


def write_tables(folder, shop, csv):
    """``shop``: table -> column -> its type, its values, and more."""
    folder.mkdir()
    for table, columns in shop.items():
        if not csv:
            arrays = {name: as_arrow(kind, values) for name, (kind, values, *_) in columns.items()}
            pq.write_table(pa.table(arrays), folder / f"{table}.parquet")
            continue
        rows = zip(*([name, *map(in_csv, values)] for name, (_, values, *_) in columns.items()), strict=True)
        (folder / f"{table}.csv").write_text("\n".join(",".join(row) for row in rows) + "\n")
