"""The types of columns that a table may have, as hypothesis strategies."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from cascade.workflows.tables.validate import NO_ID as MISSING_AS_TEXT

SMALLEST, LARGEST = -(2**63), 2**63 - 1
EPOCH = dt.datetime(1970, 1, 1)
MICRO = dt.timedelta(microseconds=1)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
KOLKATA = dt.timezone(dt.timedelta(hours=5, minutes=30))
NINES = dt.datetime(9999, 12, 31, 23, 59, 59)

hundredths = st.integers(-(10**9), 10**9).map(lambda n: Decimal(n) / 100)
whole_seconds = st.datetimes(dt.datetime(1, 1, 1), NINES).map(lambda time: time.replace(microsecond=0))
in_ns = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2250, 1, 1)).map(lambda time: time.replace(microsecond=0))
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(lambda t: t.strip() == t)
float_32 = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-99, 999).map(lambda n: n / 10)
"""Numbers such as 0.1 as well, which a float32 holds as 0.10000000149."""


def as_written(value):
    """A float32 by its shortest decimal, unless it is whole."""
    nearest = np.float32(value)
    return float(nearest) if nearest == np.floor(nearest) else float(str(nearest))


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
    "float32": (pa.float32(), float_32, as_written),
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
KINDS = [name for name in SCALARS if name not in NOT_IN_CSV], list(SCALARS)
"""Types in a CSV, and in Parquet."""
NO_ID = ("float", "float32", "decimal with a fraction", "bool", "duration")


def id_of(name, csv):
    """What an id of a type of ``SCALARS`` is as a canonical value."""
    kind, _, becomes = SCALARS[name]
    if not pa.types.is_temporal(kind):
        return becomes
    return (lambda time: f"{time}Z") if name == "time with zone" and not csv else str


def named(values):
    """Those of a strategy's values that a table may have as ids: not the texts of a missing one, such as NA."""
    return values.filter(lambda value: str(value).strip().lower() not in MISSING_AS_TEXT)


def scalars(draw, name, csv):
    """A type of ``SCALARS`` as it may stand in a table, and the ``data.types`` that it needs, or None."""
    kind, values, becomes = SCALARS[name]
    if becomes is str and csv:
        if draw(st.booleans()):
            return kind, values.map(lambda text: f"w{text}"), str, None  # not what another type could be
        return kind, values | st.sampled_from(["007", "1e5", "true", "NA", "2024-01-02", "-0"]), str, "text"
    if becomes is int and "int" in name and draw(st.integers(0, 3)) == 0:
        return kind, values, str, "text"
    return kind, values, becomes, None


def numbers(per_second):
    """Whole numbers of so many in a second."""
    return lambda moment: (moment - EPOCH) // MICRO * per_second // 10**6


def iso(moment):
    return moment.isoformat(" ") + "Z"


STAMPS = {
    **{f"numbers of {unit}": (pa.int64(), steps, numbers(steps)) for unit, steps in UNITS.items()},
    "uint64": (pa.uint64(), 1, numbers(1)),
    "decimal": (pa.decimal128(38, 0), 1, lambda moment: Decimal(numbers(1)(moment))),
    "float seconds": (pa.float64(), 10**6, lambda moment: (moment - EPOCH) / dt.timedelta(seconds=1)),
    **{f"time in {unit}": (pa.timestamp(unit), steps, lambda moment: moment) for unit, steps in UNITS.items()},
    "time with zone": (pa.timestamp("us", "Asia/Kolkata"), 10**6, lambda moment: moment.replace(tzinfo=dt.UTC)),
    "date": (pa.date32(), 0, lambda moment: moment.date()),
    "text": (pa.string(), 10**6, iso),
    "text with a zone": (pa.string(), 10**6, lambda m: m.replace(tzinfo=dt.UTC).astimezone(KOLKATA).isoformat()),
}
"""Form of ``timestamp`` -> its type, its steps in a second (0: days), and a moment in it."""
IN_CSV = {"time with zone": iso, **{f"time in {unit}": str for unit in UNITS}}
"""How a moment is written where it is no value of that type."""


def stamped(form, csv, ticks):
    """A column ``timestamp`` with its moments, ``ticks`` of its form after September 2001: type, values, µs."""
    kind, _, becomes = STAMPS[form]
    moments = [dt.datetime(2001, 9, 10) + tick_of(form) * count * MICRO for count in ticks]
    write = IN_CSV.get(form, becomes) if csv else becomes
    return kind, [write(moment) for moment in moments], [(moment - EPOCH) // MICRO for moment in moments]


def tick_of(form):
    """Microseconds in a step of a form of times, 1 at least."""
    steps = STAMPS[form][1]
    return 10**6 // min(steps, 10**6) if steps else 86_400 * 10**6


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
