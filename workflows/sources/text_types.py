"""Types of text: what the values of a CSV column or a Hive key are, judged by all of them.

A type is taken only if every value can be written back from it, so nothing is lost: ``007`` is text, not 7, and a
number of twenty digits is text, not a rounded float. Where values are names, such as ids, the text itself must
not change: ``1.10`` and ``1E3`` are text there, while a price of 1.10 is the number 1.1.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

MISSING = ("", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "#N/A", "#NA", "-nan", "-NaN", r"\N")
"""Missing values of columns that are no text. In a text column only an empty field is missing: NA may be Namibia."""
WHOLE = r"^(0|-?[1-9][0-9]*)$"
NUMBER = r"^-?([0-9]{1,15}|(0|[1-9][0-9]*)?\.[0-9]*|(0|[1-9][0-9]*)(\.[0-9]*)?[eE][+-]?[0-9]+)$"
"""A whole number has at most 15 digits here, so that a float holds it exactly."""
WHOLE_FLOAT = r"^(0|-?[1-9][0-9]*)(\.0)?$"
PRINTED = r"^(0|-?[1-9][0-9]{0,14}|-?0\.0{0,3}[1-9]([0-9]{0,7}[1-9])?|-?[1-9][0-9]{0,6}\.[0-9]{0,7}[1-9])$"
"""Numbers as they are printed, of at most 15 digits; not all of them."""
FLOAT = 2
"""The place of numbers with a fraction among the candidates."""
LEADING_ZERO = r"^-?0[0-9]"
FIRST = 100
"""Values that are looked at before all are."""
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?$"
FAR = r"^(0|1[0-5]|16[0-6]|167[0-7]|226[2-9]|22[7-9]|2[3-9]|[3-9])"
"""Years other than 1678 to 2261, which Arrow's cast to nanoseconds turns into another century without a word."""
TRUTH = r"^(?i)(true|false)$"

Role = Literal["value", "category", "id"]
"""What a column is for. The values of a category are names, so numbers must be written as they are printed; those of an
id are whole numbers or else text, even where they are times."""


class TextType:
    """Finds the type of a column from its values, block by block.

    Args:
        decimal: the decimal sign of numbers.
        role: what the column is for.
    """

    def __init__(self, decimal: str = ".", role: Role = "value") -> None:
        self.decimal = decimal
        self.role = role
        self._changing: str | None = None
        """The first number of a category that is written in another way than it is printed."""
        self._left = list(range(len(_candidates())))
        self._any = False
        self.whole = True
        """Whether all values are whole numbers, perhaps written like 3.0, as pandas does beside a missing value."""

    def see(self, values: pa.Array) -> None:
        """Take note of a block of text."""
        if self._any and not self._left:
            return
        values = plain(values).drop_null()
        if len(values):
            self._any = True
            self._left = [index for index in self._left if self._takes(values, index)]
            if self.role == "category" and self._changing is None and self._left[:1] == [FLOAT]:
                self._changing = _first_changing(pointed(values, self.decimal))
            if self.whole and 0 not in self._left:
                self.whole = bool(self._left) and _like(WHOLE_FLOAT)(values)

    @property
    def kind(self) -> pa.DataType:
        """The first type that takes every value; text if none does, null if no value has been seen."""
        import pyarrow as pa

        if not self._any:
            return pa.null()
        kind = _candidates()[self._left[0]][0] if self._left else pa.string()
        text = (self.role == "id" and not self.whole) or self.changing is not None
        return pa.string() if text else kind

    @property
    def changing(self) -> str | None:
        """A value of a category that would not be the same text as a number, if all of them are numbers."""
        return self._changing if self._left[:1] == [FLOAT] and not self.whole else None

    def _takes(self, values: pa.Array, index: int) -> bool:
        import pyarrow as pa

        kind, fits = _candidates()[index]
        values = pointed(values, self.decimal) if pa.types.is_floating(kind) else values
        if not fits(values):  # first, because a cast that fails takes a hundred times as long
            return False
        try:
            values.cast(kind)
        except pa.ArrowInvalid:
            return False
        return True


def plain(values: pa.Array) -> pa.Array:
    """Text without surrounding blanks; what says that a value is missing is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(values)
    missing = pc.is_in(trimmed, value_set=pa.array(MISSING))
    return pc.if_else(missing, pa.scalar(None, trimmed.type), trimmed)


def pointed(values: pa.Array, decimal: str) -> pa.Array:
    """Numbers as text with a decimal point. With another sign, a point makes a value no number: 1.234 may be 1234."""
    import pyarrow.compute as pc

    if decimal == ".":
        return values
    return pc.replace_substring(pc.replace_substring(values, ".", "?"), decimal, ".")


def _like(pattern: str, but: str | None = None) -> Callable[[pa.Array], bool]:
    """Whether all values match ``pattern``, and none matches ``but``."""
    import pyarrow.compute as pc

    def fits(values: pa.Array) -> bool:
        for some in (values.slice(0, FIRST), values):
            if not pc.all(pc.match_substring_regex(some, pattern)).as_py():
                return False
        return but is None or not pc.any(pc.match_substring_regex(values, but)).as_py()

    return fits


def _first_changing(values: pa.Array) -> str | None:
    """The first number that is printed in another way than it is written; 3 may be written 3.0."""
    import pyarrow.compute as pc

    rest = values.filter(pc.invert(pc.match_substring_regex(values, PRINTED))).unique().to_pylist()
    return next((text for text in rest if repr(float(text)) != text), None)


@cache
def _candidates() -> list[tuple[pa.DataType, Callable[[pa.Array], bool]]]:
    """Types in the order of preference, each with a check of what its text looks like."""
    import pyarrow as pa

    times = [pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("s", "us", "ns")]
    return [
        (pa.int64(), _like(WHOLE)),
        (pa.uint64(), _like(WHOLE)),
        (pa.float64(), _like(NUMBER, LEADING_ZERO)),
        (pa.bool_(), _like(TRUTH)),
        (pa.date32(), _like(DAY)),
        *((kind, _like(TIME, FAR if kind.unit == "ns" else None)) for kind in times),
    ]
