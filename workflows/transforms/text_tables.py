"""Codes of strings: a dict for a few, a hash table in memory-mapped files for very many.

A dict of ten million strings takes about a gigabyte in each instance of a server and many seconds to read; the
instances share one copy of the mapped files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import (
    INT32,
    INT64,
    UINT8,
    inner,
    kernel,
    read,
    write,
)
from .codes import Codes, mapped

MAPPED_FROM = 100_000
"""Strings from which on they are mapped; a dict of fewer is small and looks up one value in a third of the time."""
EMPTY = -1
MISSING_LENGTH = -1


class TextCodes(Codes):
    """Codes of strings in a dict, value -> code."""

    def __init__(self, table: dict[str, int]) -> None:
        self.table = table

    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        table = self.table
        codes = [missing if value is None else table.get(value, unknown) for value in values.ravel().tolist()]
        return np.array(codes, np.int64).reshape(values.shape)

    def save(self, folder: Path, name: str) -> None:
        (folder / f"{name}.json").write_text(json.dumps(list(self.table.items())))


@dataclass(frozen=True)
class MappedTextCodes(Codes):
    """Codes of strings in a hash table; strings are compared byte by byte, as UTF-8."""

    text: NDArray[np.uint8]
    """The bytes of all strings, one after the other."""
    ends: NDArray[np.int64]
    """[n + 1], the start of each string in ``text``, and the end of the last."""
    codes: NDArray[np.int32]
    """[n]."""
    slots: NDArray[np.int32]
    """Open addressing: the number of the string at each hash, -1 for an empty slot. The size is a power of two; at most
    half of the slots are taken."""

    @classmethod
    def build(cls, values: Sequence[str], codes: NDArray[np.int64]) -> MappedTextCodes:
        """The table of ``values`` [n], all different, and their ``codes`` [n]."""
        text, lengths = as_utf8(list(values))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        slots = np.full(1 << (2 * len(values)).bit_length(), EMPTY, np.int32)
        fill_slots(text, ends, slots)
        return cls(text, ends, codes.astype(np.int32), slots)

    @classmethod
    def load(cls, folder: Path, name: str) -> MappedTextCodes:
        """Map the files that ``save`` wrote."""
        find_text.compile()
        return cls(*(mapped(folder / f"{name}.{part.name}.npy") for part in fields(cls)))

    def save(self, folder: Path, name: str) -> None:
        for part in fields(self):
            np.save(folder / f"{name}.{part.name}.npy", getattr(self, part.name))

    def __call__(self, values: NDArray[Any], missing: int, unknown: int) -> NDArray[np.int64]:
        text, lengths = as_utf8(values.ravel().tolist())
        codes = np.empty(values.shape, np.int64)
        tables = (self.text, self.ends, self.codes, self.slots)
        find_text(text, lengths, *tables, missing, unknown, codes.reshape(-1))
        return codes


def as_utf8(values: list[str | None]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The UTF-8 bytes of all values, one after the other, and the length of each [n]; MISSING_LENGTH for None."""
    encoded = [None if value is None else value.encode("utf-8", "surrogatepass") for value in values]
    lengths = np.array([MISSING_LENGTH if value is None else len(value) for value in encoded], np.int64)
    return np.frombuffer(b"".join(value for value in encoded if value is not None), np.uint8), lengths


@kernel((read(UINT8, 1), read(INT64, 1), write(INT32, 1)))
def fill_slots(text: NDArray[np.uint8], ends: NDArray[np.int64], slots: NDArray[np.int32]) -> None:
    """Put the number of every string into ``slots``."""
    for number in range(len(ends) - 1):
        place = _hash(text, ends[number], ends[number + 1]) & (len(slots) - 1)
        while slots[place] != EMPTY:
            place = (place + 1) & (len(slots) - 1)
        slots[place] = number


@kernel(
    (
        *(read(UINT8, 1), read(INT64, 1), read(UINT8, 1), read(INT64, 1), read(INT32, 1), read(INT32, 1)),
        *(INT64, INT64, write(INT64, 1)),
    )
)
def find_text(
    wanted: NDArray[np.uint8],
    lengths: NDArray[np.int64],
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    codes: NDArray[np.int32],
    slots: NDArray[np.int32],
    missing: int,
    unknown: int,
    out: NDArray[np.int64],
) -> None:
    """Fill ``out`` [n] with the codes of strings.

    Args:
        wanted: the bytes of the strings, one after the other.
        lengths: [n], in bytes; MISSING_LENGTH for a missing string.
    """
    start = 0
    for i, length in enumerate(lengths):
        if length == MISSING_LENGTH:
            out[i] = missing
            continue
        out[i] = unknown
        place = _hash(wanted, start, start + length) & (len(slots) - 1)
        while slots[place] != EMPTY:
            number = slots[place]
            if _same(wanted, start, length, text, ends[number], ends[number + 1]):
                out[i] = codes[number]
                break
            place = (place + 1) & (len(slots) - 1)
        start += length


@inner()
def _hash(text: NDArray[np.uint8], start: int, end: int) -> Any:
    """32 bits by FNV-1a (Fowler, Noll and Vo) and one more multiplication, so that each byte changes all of them."""
    value = np.uint64(0xCBF29CE484222325)
    for i in range(start, end):
        value = (value ^ np.uint64(text[i])) * np.uint64(0x100000001B3)
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(value >> np.uint64(32))


@inner()
def _same(wanted: NDArray[np.uint8], start: int, length: int, text: NDArray[np.uint8], begin: int, end: int) -> bool:
    at = 0
    while end - begin == length and at < length and wanted[start + at] == text[begin + at]:
        at += 1
    return end - begin == length == at
