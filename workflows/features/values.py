"""Decode Feast's serialized ``Value`` messages to numpy columns, without Feast's SDK.

https://github.com/feast-dev/feast/blob/v0.49.0/protos/feast/types/Value.proto
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import FeatureStoreError
from ...core.kernel import (
    INT64,
    UINT8,
    inner,
    kernel,
    read,
)
from ..transforms.codes import DTYPES, MISSING

SCALARS = {"int": ("int64_val", "int32_val"), "float": ("double_val", "float_val"), "string": ("string_val",)}
LISTS = {kind: tuple(name.replace("_val", "_list_val") for name in names) for kind, names in SCALARS.items()}
"""Column kind -> the fields of ``Value`` that hold it; other fields count as missing."""

Serialized = Sequence[bytes | None]
"""A serialized ``Value`` for each row; None if the store has none."""

_DOUBLE_TAG, _STRING_TAG = 0x29, 0x12  # field number << 3 | wire type
_INT_LIST_TAG, _PACKED_TAG = 0x72, 0x0A
_NO_INTS = bytes([_INT_LIST_TAG, 0])
_unpack_double = struct.Struct("<xd").unpack


def value_message() -> Any:
    """Feast's protobuf message ``Value``, loaded from its file, because ``import feast`` would load the whole SDK.

    Raises:
        FeatureStoreError: if Feast is not installed.
    """
    package = importlib.util.find_spec("feast")
    if package is None or not package.submodule_search_locations:
        raise FeatureStoreError("feast is not installed")
    file = Path(package.submodule_search_locations[0], "protos", "feast", "types", "Value_pb2.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}_value_pb2", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Value


def set_value(message: Any, value: Any, kind: str) -> Any:
    """Put ``value`` into an empty ``Value`` message and return it; a missing one (None) leaves it empty."""
    if value is not None and kind.startswith("list_"):
        inside = getattr(message, LISTS[kind.removeprefix("list_")][0])
        inside.SetInParent()
        inside.val.extend(value)
    elif value is not None:
        setattr(message, SCALARS[kind][0], value)
    return message


@dataclass(frozen=True)
class ValueDecoder:
    """Decodes serialized values to columns of a kind: int, float or string.

    A value that is absent, empty or of another kind is missing: None for strings, the smallest int64 for ints, NaN
    for floats. The usual encodings are decoded here; protobuf's parser, which is slower, decodes the rest. Bytes that
    are no value at all raise FeatureStoreError.
    """

    message: Any = field(default_factory=value_message)

    def scalars(self, values: Serialized, kind: str) -> NDArray[Any]:
        """The values as a column [B, 1]."""
        missing = MISSING[kind]
        column = np.array([self._scalar(value, kind) if value else missing for value in values], dtype=DTYPES[kind])
        return column.reshape(-1, 1)

    def lists(self, values: Serialized, kind: str, most: int | None = None) -> NDArray[Any]:
        """The lists as a padded array [B, L], ``most`` values of each at most; L is the longest of them, at least 1."""
        if kind == "int" and values:
            written = [value or _NO_INTS for value in values]
            data, ends = np.frombuffer(b"".join(written), np.uint8), np.cumsum([*map(len, written)])
            found: NDArray[Any] = int_lists(data, ends, most or len(data), MISSING[kind])
            if len(found):
                return found
        lists = [self._list(value, kind)[:most] if value else [] for value in values]
        column = np.full((len(lists), max([1, *map(len, lists)])), MISSING[kind], dtype=DTYPES[kind])
        for row, items in enumerate(lists):
            column[row, : len(items)] = items
        return column

    def _scalar(self, value: bytes, kind: str) -> Any:
        if kind == "float" and value[0] == _DOUBLE_TAG and len(value) == 9:
            return _unpack_double(value)[0]
        if kind == "string" and len(value) > 1 and value[0] == _STRING_TAG and value[1] == len(value) - 2 < 128:
            return self._text(value[2:])
        parsed = self._parsed(value)
        name = parsed.WhichOneof("val")
        return getattr(parsed, name) if name in SCALARS[kind] else MISSING[kind]

    def _text(self, value: bytes) -> str:
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise FeatureStoreError(f"a damaged value: {error}") from error

    def _parsed(self, value: bytes) -> Any:
        from google.protobuf.message import DecodeError

        try:
            return self.message.FromString(value)
        except (DecodeError, TypeError, UnicodeDecodeError) as error:
            raise FeatureStoreError(f"a damaged value: {error}") from error

    def _list(self, value: bytes, kind: str) -> Any:
        parsed = self._parsed(value)
        name = parsed.WhichOneof("val")
        return getattr(parsed, name).val if name in LISTS[kind] else []


@inner()
def _varint(data: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """The varint that begins at ``at``, and where the next one begins: -1 if it has no end or more than 10 bytes."""
    number = np.uint64(0)
    for shift in range(min(10, len(data) - at)):
        byte = np.uint64(data[at + shift])
        number |= (byte & np.uint64(127)) << np.uint64(7 * shift)
        if byte < 128:
            return int(np.int64(number)), at + shift + 1
    return 0, -1


@kernel((read(UINT8, 1), read(INT64, 1), INT64, INT64))
def int_lists(data: NDArray[np.uint8], ends: NDArray[np.int64], most: int, missing: int) -> NDArray[np.int64]:
    """Decode concatenated values to lists, int64 [count, L]; [0, 0] if one of them is not a plain list.

    Each value must be one message ``Int64List``, empty or with one packed field, so that a damaged one is left to
    protobuf's parser.

    Args:
        data: the bytes of all values.
        ends: int64 [count], where each of them ends.
        most: the most numbers of each list.
        missing: the padding.
    """
    count = len(ends)
    starts = np.zeros(count, np.int64)
    nothing = np.empty((0, 0), np.int64)
    longest, at = 1, 0
    for row in range(count):
        end = ends[row]
        if at >= end or data[at] != _INT_LIST_TAG:
            return nothing
        size, at = _varint(data, at + 1)
        if at < 0 or size < 0 or at + size != end:
            return nothing
        if size > 0:
            if data[at] != _PACKED_TAG:
                return nothing
            size, at = _varint(data, at + 1)
            if at < 0 or size < 0 or at + size != end or data[end - 1] >= 128:
                return nothing
        starts[row] = at
        length = 0
        for position in range(at, end):
            length += data[position] < 128
        longest, at = max(longest, min(length, most)), end
    found = np.full((count, longest), missing, np.int64)
    for row in range(count):
        at, column = starts[row], 0
        while at < ends[row] and column < most:
            found[row, column], at = _varint(data, at)
            if at < 0:
                return nothing
            column += 1
    return found
