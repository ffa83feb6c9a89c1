"""Types of columns: one for all parts of a table, and those that ``data.types`` forces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...core.errors import DataError
from ..tables.canonical import as_floats, largest_exact
from ..tables.times import NUMBER, in_steps, iso_text, numbers_as_times
from .text_types import WHOLE_FLOAT, plain, pointed

if TYPE_CHECKING:
    import pyarrow as pa

Read = Callable[["pa.Array"], "pa.Array"]
"""Reads an array as another type; raises what pyarrow raises if a value does not fit."""
Forced = Literal["int", "float", "text", "bool", "timestamp"]
PHRASES = {
    "int": "a whole number of 64 bits with a sign",
    "float": "a number",
    "text": "text",
    "bool": "true or false",
    "timestamp": "a time to the microsecond, such as 2024-01-02 10:00:00 or 1704189600",
}
TRUE, FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def common_type(table: str, column: str, found: Sequence[tuple[pa.DataType, Path]]) -> pa.DataType:
    """The type that holds the values of a column in every part: the widest of them.

    A column without values takes any type, whole numbers beside numbers with a fraction become these, whole numbers
    beside text become text.

    Args:
        found: the type of the column in each file that has it.

    Raises:
        DataError: naming two files whose types do not go together.
    """
    kind, first = _plain_type(found[0][0]), found[0][1]
    for other, file in found[1:]:
        wider = _wider(kind, other)
        if wider is None:
            raise DataError(
                f"{table}.{column}: {kind} in {first}, {other} in {file}; write it as one type in all files"
                f"{_remedy(column, kind, _plain_type(other))}"
            )
        if wider != kind:
            kind, first = wider, file
    return kind


def _remedy(column: str, *kinds: pa.DataType) -> str:
    """The types of ``data.types`` that can read values of all ``kinds``, for the end of a message."""
    import pyarrow as pa

    times, truth = any(map(pa.types.is_temporal, kinds)), any(map(pa.types.is_boolean, kinds))
    sought: tuple[Forced, ...] = ("timestamp", "int", "float") if times else ("text", "int", "float")
    if column == "timestamp":
        sought = tuple(forced for forced in sought if forced != "text")
    else:
        sought = (*sought, *(("text",) if times else ()), *(("bool",) if truth else ()))
    able = [forced for forced in sought if all(_takes(forced, kind) for kind in kinds)]
    if not able:
        return "; no type of data.types can read both"
    more = f" (or {', '.join(able[1:])})" if able[1:] else ""
    sizes = "; it reads numbers as s, ms, us or ns since 1970, by their size" if able[0] == "timestamp" else ""
    return f", or set data.types: {{{column}: {able[0]}}}{more}{sizes}"


def _takes(forced: Forced, kind: pa.DataType) -> bool:
    """Whether values of a type can be read as ``data.types`` says."""
    import pyarrow as pa

    try:
        forced_reader_of(forced, ".")(pa.array([], kind))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return False
    return True


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    import pyarrow as pa

    one, other = _plain_type(one), _plain_type(other)
    if one == other:
        return one
    pair = (one, other)
    if any(map(pa.types.is_integer, pair)) and any(map(_is_text, pair)):
        return pa.string()
    if any(map(pa.types.is_date, pair)) and any(map(pa.types.is_timestamp, pair)):
        return one if pa.types.is_timestamp(one) else other
    try:
        schemas = [pa.schema([("", kind)]) for kind in pair]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of a category's values."""
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def reader_of(kind: pa.DataType) -> Read:
    """Reads values of a narrower type, or of text, as ``kind``."""

    def read(values: pa.Array) -> pa.Array:
        values = decoded(values)
        return values if values.type == kind else _widened(values, kind)

    return read


def _widened(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The values as ``kind``; decimals become the floats nearest to them, and short floats as in `as_floats`, in lists
    as well."""
    import pyarrow as pa

    found, wanted, text = values.type, kind, pa.string()
    if pa.types.is_float64(kind) and pa.types.is_floating(found):
        return as_floats(values)
    if hasattr(found, "value_type") and hasattr(kind, "value_type"):
        found, wanted, text = found.value_type, kind.value_type, pa.list_(text)
    # By way of their text, as in `as_floats`.
    by_text = (pa.types.is_decimal(found) or pa.types.is_float32(found)) and pa.types.is_floating(wanted)
    return (values.cast(text) if by_text else values).cast(kind)


def text_reader_of(found: pa.DataType, kind: pa.DataType, decimal: str = ".") -> Read:
    """Reads text as ``found``, the type that `TextType` says, and that as ``kind``, which may be wider."""
    import pyarrow as pa

    widen = reader_of(kind)

    def read(values: pa.Array) -> pa.Array:
        if pa.types.is_null(found):
            return pa.nulls(len(values), kind)
        if not _is_text(found):
            values = plain(values)
            values = (pointed(values, decimal) if pa.types.is_floating(found) else values).cast(found)
        return widen(values)

    return read


def as_it_is(values: pa.Array) -> pa.Array:
    """The values."""
    return values


def forced_reader_of(forced: Forced, decimal: str, whole: bool = False) -> Read:
    """Reads any values as ``data.types`` says.

    Args:
        decimal: the decimal sign of numbers that are text.
        whole: whether text is whole numbers that may be written like 3.0, which then becomes 3, as a float does.
    """
    import pyarrow.compute as pc

    def read(values: pa.Array) -> pa.Array:
        values = decoded(values)
        if whole and forced == "text":
            trimmed = pc.utf8_trim_whitespace(values)
            numbers = pc.replace_substring(trimmed, ".0", "")
            values = pc.if_else(pc.match_substring_regex(trimmed, WHOLE_FLOAT), numbers, values)
        return _FORCED[forced](values, decimal)

    return read


def forced_type(forced: Forced) -> pa.DataType:
    """The type of a forced column in a part that lacks it."""
    import pyarrow as pa

    types = {"int": pa.int64(), "float": pa.float64(), "text": pa.string(), "bool": pa.bool_()}
    return types.get(forced, pa.timestamp("us", "UTC"))


def decoded(values: pa.Array) -> pa.Array:
    """The values of categories; all others as they are."""
    import pyarrow as pa

    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _whole(values: pa.Array, decimal: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_text(values.type):
        # Arrow takes neither a plus nor, as an integer, the 7.0 that pandas writes where a value is missing.
        values = pc.replace_substring_regex(_without_plus(plain(values)), r"\.0+$", "")
        hexadecimal = pc.match_substring_regex(values, "^-?0[xX]")
        if pc.any(hexadecimal).as_py():
            raise pa.ArrowInvalid("hexadecimal")
    elif pa.types.is_floating(values.type):
        most = largest_exact(values.type)
        values = _no_nan(as_floats(values))
        if pc.any(pc.greater_equal(pc.abs(values), most)).as_py():
            raise pa.ArrowInvalid("not exact")
    elif pa.types.is_temporal(values.type):
        steps, per_second = in_steps(values)
        seconds = pc.divide(steps, per_second)
        if pc.any(pc.not_equal(pc.multiply(seconds, per_second), steps)).as_py():
            raise pa.ArrowInvalid("no whole second")
        return seconds
    return values.cast(pa.int64())


def _number(values: pa.Array, decimal: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if _is_text(values.type):
        values = _without_plus(pointed(plain(values), decimal))
    elif pa.types.is_temporal(values.type):
        steps, per_second = in_steps(values)
        return pc.divide(steps.cast(pa.float64(), safe=False), float(per_second))
    return values.cast(pa.float64(), safe=False) if pa.types.is_integer(values.type) else as_floats(values)


def _without_plus(values: pa.Array) -> pa.Array:
    """Numbers as text, without a plus before the first digit."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(values, r"^\+([0-9.])", r"\1")


def _text(values: pa.Array, decimal: str) -> pa.Array:
    """Text as it is; 5.0 is written as 5, because a missing value turns the whole numbers of pandas into floats."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(values.type):
        return values.cast(pa.string())
    values = _no_nan(as_floats(values))
    whole = pc.and_(pc.equal(pc.floor(values), values), pc.less(pc.abs(values), 2.0**53))
    numbers = pc.if_else(whole, values, pa.scalar(None, pa.float64())).cast(pa.int64())
    return pc.coalesce(numbers.cast(pa.string()), values.cast(pa.string()))


def _truth(values: pa.Array, decimal: str) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_boolean(values.type):
        return values
    words = pc.utf8_lower(plain(_text(values, decimal)))
    words = pc.replace_substring_regex(words, r"^([01])[.,]0+$", r"\1")  # as pandas writes them beside a missing value
    true, false = (pc.is_in(words, value_set=pa.array(each)) for each in (TRUE, FALSE))
    known = pc.or_(true, pc.or_(false, words.is_null()))
    if not pc.all(known).as_py():
        raise pa.ArrowInvalid("neither true nor false")
    return pc.if_else(words.is_null(), pa.scalar(None, pa.bool_()), true)


def _time(values: pa.Array, decimal: str) -> pa.Array:
    """Microseconds, in UTC where no zone is given; numbers are read by their size, each for itself."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = forced_type("timestamp")
    if pa.types.is_temporal(values.type):
        return values.cast(pa.timestamp("us") if pa.types.is_date(values.type) else values.type).cast(kind)
    if pa.types.is_boolean(values.type):
        raise pa.ArrowInvalid("no time")
    if not _is_text(values.type):
        return numbers_as_times(values)
    values = plain(values)
    nothing = pa.scalar(None, values.type)
    number = pc.match_substring_regex(values, NUMBER)
    fraction = pc.and_(number, pc.match_substring(values, "."))
    bare = pc.replace_substring_regex(values, r"^\+", "")
    return pc.coalesce(
        iso_text(pc.if_else(number, nothing, values)).cast(kind),
        numbers_as_times(pc.if_else(pc.and_not(number, fraction), bare, nothing).cast(pa.int64())),
        numbers_as_times(pc.if_else(fraction, bare, nothing).cast(pa.float64())),
    )


def _no_nan(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)


_FORCED: dict[str, Callable[[pa.Array, str], pa.Array]] = {
    "int": _whole,
    "float": _number,
    "text": _text,
    "bool": _truth,
    "timestamp": _time,
}
