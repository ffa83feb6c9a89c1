"""Checks of tables where they enter. Every message names table, column and row (from 0, without a header), and file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ...core.errors import DataError
from ...core.suggest import closest
from .canonical import IDS, as_floats, kind_of, one_array
from .other_types import replacement
from .rows import ROWS, Rows

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST_ID = 512
"""Characters of an id. Tables of ids have the width of the longest, so one of them must not decide their size."""
LARGEST_DENSE = 1e30
"""Of ``schema.dense``, in magnitude. A float32 ends at 3.4e38, and models add and multiply on the way to a score."""
NO_ID = ("nan", "-nan", "none", "null", "<na>", "nat", "na", "n/a", "#n/a", "\\n")
"""What a missing id is as text, as after ``astype(str)`` in pandas."""
FILL = "fill it, or leave the row out of the table"
NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?")
"""What hardly is the name of a column."""
_NO_LABEL = "; for a rating, use another name than label and set data.positive, e.g. rating >= 4"


def nearest(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?`` for the closest of ``known``; empty if none is close."""
    found = closest(name, known)
    return f", did you mean {found!r}?" if found else ""


def check_columns(table: pa.Table, name: str, required: Sequence[str]) -> None:
    """The table has every required column, and at least one row.

    Raises:
        DataError: as do all checks in this file.
    """
    check_required(table.column_names, name, required)
    if table.num_rows == 0:
        raise DataError(f"{name}: the table is empty")


def check_required(names: Sequence[str], name: str, required: Sequence[str]) -> None:
    """Every required column is among the ``names`` of a table's columns."""
    for column in required:
        if column not in names:
            hint = nearest(column, names)
            values = "; if these are values, write the header, which is missing, as the first line of the file"
            raise DataError(
                f"{name}.{column}: missing column{hint}; the table has {', '.join(names)}; "
                f"if one of these is meant, name it in data.columns.{column}"
                f"{values if any(map(NUMBER.fullmatch, names)) else ''}"
            )


def check_ids(table: pa.Table, name: str, columns: Sequence[str], rows: Rows = ROWS) -> None:
    """The id columns hold whole numbers or strings of at most `LONGEST_ID` characters, and none is missing or blank."""
    import pyarrow.compute as pc

    for column in columns:
        kind = kind_of(table[column].type)
        if kind not in ("int", "string"):
            given = table[column].type
            way_out = replacement(given, column) if kind is None else "write a row for each entry in the table"
            raise DataError(f"{name}.{column}: wrong type {given}, ids are whole numbers or strings; {way_out}")
        if table[column].null_count:
            raise DataError(f"{name}.{column}, {rows(_first(table[column].is_null()))}: missing id (null); {FILL}")
        if kind == "string":
            blank = pc.equal(pc.utf8_trim_whitespace(table[column].cast("string")), "")
            if pc.any(blank).as_py():
                row = _first(blank)
                shown = repr(table[column][row].as_py())
                raise DataError(f"{name}.{column}, {rows(row)}: missing id ({shown} is blank); {FILL}")
            _refuse_no_ids(table[column], f"{name}.{column}", rows)
            lengths = pc.utf8_length(table[column].cast("string"))
            if (pc.max(lengths).as_py() or 0) > LONGEST_ID:
                row = _first(pc.greater(lengths, LONGEST_ID))
                raise DataError(
                    f"{name}.{column}, {rows(row)}: an id of {lengths[row].as_py():,} characters, "
                    f"{table[column][row].as_py()[:20]!r}..., expected at most {LONGEST_ID}; replace it, e.g. by a hash"
                )


def _refuse_no_ids(ids: pa.ChunkedArray, where: str, rows: Rows) -> None:
    """Raise a DataError if an id is the text of a missing one, which would be one user or item of many."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.utf8_lower(pc.utf8_trim_whitespace(ids.cast("string")))
    missing = pc.is_in(plain, value_set=pa.array(NO_ID))
    if pc.any(missing).as_py():
        row = _first(missing)
        raise DataError(
            f"{where}, {rows(row)}: missing id ({ids[row].as_py()!r} is a missing value as text); fill it, or leave "
            "such rows out of the table; if it is an id, give it another name"
        )


def check_type(table: pa.Table, name: str, column: str, kinds: Sequence[str], *, advice: str = "") -> None:
    """The column has one of ``kinds`` (``int``, ``list_string``, ...); ``advice`` ends the message."""
    values = table[column]
    if (kind := kind_of(values.type)) not in kinds:
        first = f", e.g. {values[0].as_py()!r}" if len(values) else ""
        expected = " or ".join(kinds)
        advice += f"; {replacement(values.type, column)}" if kind is None else ""
        raise DataError(f"{name}.{column}: wrong type {values.type} ({kind}){first}, expected {expected}{advice}")


def check_unique(table: pa.Table, name: str, column: str, rows: Rows = ROWS) -> None:
    """No id occurs twice."""
    import numpy as np
    import pyarrow.compute as pc

    codes = pc.dictionary_encode(table[column].combine_chunks())
    codes = (codes if not hasattr(codes, "chunks") else codes.combine_chunks()).indices.to_numpy()
    first = np.full(codes.max(initial=-1) + 1, -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    again = np.flatnonzero(first[codes] != np.arange(len(codes)))
    if again.size:
        row = int(again[0])
        where = f"first in {rows(int(first[codes[row]]))}"
        shown = repr(table[column][row].as_py())
        raise DataError(f"{name}.{column}, {rows(row)}: duplicate id {shown}, {where}; keep one row for each id")


def check_id_type(table: pa.Table, column: str, known: pa.Array, other: str) -> None:
    """The ids of a table of interactions are of the type of the ``known`` ids of the table ``other``."""
    if table[column].type != known.type:
        raise DataError(
            f"interactions.{column}: wrong type {table[column].type}, {other}.{column} is {known.type}; "
            f"data.types: {{{column}: text}} reads both as text"
        )


def check_known(table: pa.Table, column: str, known: pa.Array, other: str, rows: Rows = ROWS) -> None:
    """Every id in a table of interactions is one of the ``known`` ids of the table ``other``."""
    import pyarrow.compute as pc

    check_id_type(table, column, known, other)
    unknown = pc.invert(pc.is_in(table[column], value_set=known))
    if pc.any(unknown).as_py():
        row = _first(unknown)
        raise DataError(
            f"interactions.{column}, {rows(row)}: {table[column][row].as_py()!r} is not in {other}.{column}; "
            "data.unknown: drop leaves such rows out, keep takes them with missing features"
        )


def check_finite(table: pa.Table, name: str, column: str, *, dense: bool = False, rows: Rows = ROWS) -> None:
    """No number is infinite, in lists neither. Missing numbers are null already.

    Args:
        dense: whether models calculate with the numbers, which must not be larger than `LARGEST_DENSE` then.
    """
    import pyarrow.compute as pc

    kind = kind_of(table[column].type)
    if kind == "list_float":
        lists = one_array(table[column])
        infinite = pc.is_inf(pc.list_flatten(lists))
        if pc.any(infinite).as_py():
            row = pc.list_parent_indices(lists)[_first(infinite)].as_py()
            raise DataError(f"{name}.{column}, {rows(row)}: an infinite number in the list")
    if kind == "float":
        if dense and pc.any(too_large := pc.greater(pc.abs(table[column]), LARGEST_DENSE)).as_py():
            row = _first(too_large)
            raise DataError(
                f"{name}.{column}, {rows(row)}: {table[column][row].as_py()} is too large for schema.dense, "
                f"which models calculate with in 32 bits; expected at most {LARGEST_DENSE:g}; if it is for a missing "
                "value, leave it empty"
            )
        infinite = pc.fill_null(pc.is_inf(table[column]), False)
        if pc.any(infinite).as_py():
            raise DataError(f"{name}.{column}, {rows(_first(infinite))}: infinite")


def check_label(table: pa.Table, name: str = "label", rows: Rows = ROWS) -> None:
    """The label column ``name`` is 0 or 1 in every row."""
    import pyarrow.compute as pc

    advice = _NO_LABEL if name == "label" else "; write 1 where it happened and 0 where not"
    if kind_of(table[name].type) == "string":
        advice = f"; data.types: {{{name}: bool}} reads yes and no, true and false, or 1 and 0{advice}"
    check_type(table, "interactions", name, ("int", "float"), advice=advice)
    label = as_floats(one_array(table[name]))
    wrong = pc.invert(pc.fill_null(pc.or_(pc.equal(label, 0), pc.equal(label, 1)), False))
    if pc.any(wrong).as_py():
        row = _first(wrong)
        value = repr(table[name][row].as_py())
        raise DataError(f"interactions.{name}, {rows(row)}: {value}, expected 0 or 1{advice}")


def check_catalogue(items: pa.Table) -> None:
    """There are two items at least: of one, there is nothing to choose."""
    if len(items) < 2:
        only = items["item_id"][0].as_py()
        raise DataError(
            f"items: {only!r} is the only item, expected a catalogue of at least two; if this is not all, see "
            "data.columns.item_id, which names the column of the ids"
        )


def check_order(table: pa.Table, rows: Rows = ROWS) -> None:
    """The column ``order``, which sorts interactions of equal timestamps, has a value in every row."""
    check_columns(table, "interactions", ["order"])
    check_type(table, "interactions", "order", ("int", "float", "string"))
    if table["order"].null_count:
        raise DataError(f"interactions.order, {rows(_first(table['order'].is_null()))}: missing; {FILL}")


def check_entity_table(table: pa.Table, name: str, column: str, rows: Rows = ROWS) -> None:
    """The checks of users or items; ``column`` is the id."""
    check_columns(table, name, [column])
    check_ids(table, name, [column], rows)
    check_unique(table, name, column, rows)


def check_interactions(table: pa.Table, labels: Sequence[str] = (), rows: Rows = ROWS) -> None:
    """The checks of a chunk of interactions that need no other table.

    Args:
        labels: columns of 0 and 1 that the chunk must have; ``label`` is checked if it has one.
        rows: names the chunk's rows, for messages.
    """
    check_columns(table, "interactions", (*IDS, *labels))
    check_ids(table, "interactions", IDS, rows)
    for name in (*(["label"] if "label" in table.column_names else []), *labels):
        check_label(table, name, rows)


def _first(mask: pa.ChunkedArray) -> int:
    """The row of the first true value."""
    import pyarrow.compute as pc

    return int(pc.index(mask, True).as_py())
