"""Lists that are written as JSON in a text column."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ...core.errors import DataError
from ..tables.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa


def json_lists(texts: pa.Array, where: str, rows: Rows, key: str) -> pa.Array:
    """Lists of text, or of numbers, in the place of their JSON; a missing value is a missing list.

    Args:
        where: table and column, for messages.
        rows: names the rows of ``texts``.
        key: the config key that says JSON.

    Raises:
        DataError: naming the first value that is no JSON list of text or of numbers.
    """
    import pyarrow as pa

    given = texts.to_pylist()
    lists = [_parsed(text, f"{where}, {rows(row)}", key) for row, text in enumerate(given)]
    kinds = {type(entry) for entries in lists if entries for entry in entries}
    if str in kinds and len(kinds) > 1:
        raise DataError(f"{where}: some lists hold text, others numbers ({key}); write all entries as text")
    kind = pa.float64() if float in kinds else pa.int64() if int in kinds else pa.string()
    try:
        return pa.array(lists, pa.list_(kind))
    except (pa.ArrowInvalid, OverflowError):  # among numbers with a fraction, a whole one that is not exact as such
        for row, entries in enumerate(lists):
            for entry in entries or ():
                if isinstance(entry, int) and abs(entry) > 2**53:
                    raise DataError(
                        f"{where}, {rows(row)}: {given[row][:80]!r} holds {entry}, but floats, as other entries are, "
                        f"are exact up to 2^53 only ({key}); write all entries as text"
                    ) from None
        raise


def _parsed(text: str | None, where: str, key: str) -> list[Any] | None:
    """The list, without null entries."""
    if text is None or not text.strip():
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f'{where}: {text[:80]!r} is no JSON ({error}); {key} expects e.g. ["a", "b"]') from None
    if not isinstance(found, list):
        raise DataError(f'{where}: {text[:80]!r} is no JSON list; {key} expects e.g. ["a", "b"]')
    entries = [entry for entry in found if entry is not None]
    if not all(isinstance(entry, str) for entry in entries) and not all(map(_is_number, entries)):
        raise DataError(f"{where}: {text[:80]!r} is no list of text or of numbers ({key})")
    for entry in entries:
        if isinstance(entry, int) and not -(2**63) <= entry < 2**63:
            raise DataError(
                f"{where}: {text[:80]!r} holds {entry}, no whole number of 64 bits ({key}); write all entries as text"
            )
        if isinstance(entry, str) and any("\ud800" <= sign <= "\udfff" for sign in entry):
            raise DataError(f"{where}: {text[:80]!r} holds half of a character, which is no text ({key}); take it out")
    return entries


def _is_number(entry: Any) -> bool:
    return isinstance(entry, (int, float)) and not isinstance(entry, bool)
