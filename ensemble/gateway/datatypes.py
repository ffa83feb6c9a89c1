"""The data types of the inference protocol, and how their values look in memory and in JSON."""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass
from itertools import chain
from typing import Any

from .refusals import Refusal

MAX_DIMS = 32
"""As many dimensions as numpy can hold; also how deep the lists of a JSON tensor may be nested."""
_NAMES = {bool: "booleans", int: "numbers", float: "floats", str: "strings", list: "lists", dict: "objects"}
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True)
class DataType:
    """One data type; little-endian, as Triton has it on every machine that it runs on."""

    name: str
    size: int
    """Bytes of one element. Of BYTES: of the length that stands before each element."""
    code: str = ""
    """Type code of `array`; empty for types that JSON does not carry."""

    @property
    def text(self) -> bool:
        return self.name == "BYTES"

    @property
    def takes(self) -> set[type]:
        """What JSON values of it are in Python."""
        if self.text:
            return {str}
        if self.name == "BOOL":
            return {bool, int}
        return {int, float} if self.name.startswith("FP") else {int}


DATATYPES = {
    each.name: each
    for each in (
        DataType("BOOL", 1, "B"),
        DataType("UINT8", 1, "B"),
        DataType("UINT16", 2, "H"),
        DataType("UINT32", 4, "I"),
        DataType("UINT64", 8, "Q"),
        DataType("INT8", 1, "b"),
        DataType("INT16", 2, "h"),
        DataType("INT32", 4, "i"),
        DataType("INT64", 8, "q"),
        DataType("FP16", 2),
        DataType("BF16", 2),
        DataType("FP32", 4, "f"),
        DataType("FP64", 8, "d"),
        DataType("BYTES", 4),
    )
}


def flat(where: str, data: Any) -> list[Any]:
    """The values of a JSON tensor, nested or not, in row-major order.

    Raises:
        Refusal: if it is no list, or lists are nested deeper than tensors have dimensions.
    """
    if not isinstance(data, list):
        raise Refusal(400, f"{where}: expected a list in 'data', got {_NAMES.get(type(data), 'null')}")
    values: list[Any] = data
    for _ in range(MAX_DIMS):
        kinds = set(map(type, values))
        if list not in kinds:
            return values
        if len(kinds) > 1:
            raise Refusal(400, f"{where}: expected 'data' of lists or of values, got both side by side")
        values = list(chain.from_iterable(values))
    raise Refusal(400, f"{where}: expected at most {MAX_DIMS} dimensions in 'data', got more")


def pack(where: str, datatype: DataType, values: list[Any]) -> bytes:
    """The values of a JSON tensor as the bytes of a binary one.

    Raises:
        Refusal: if the type cannot hold a value.
    """
    if not datatype.code and not datatype.text:
        raise Refusal(400, f"{where}: {datatype.name} cannot be sent as JSON, send it as binary data")
    if wrong := set(map(type, values)) - datatype.takes:
        got = " and ".join(sorted(_NAMES.get(kind, "null") for kind in wrong))
        raise Refusal(400, f"{where}: expected {datatype.name} values in 'data', got {got}")
    if datatype.text:
        return _pack_texts(where, values)
    if datatype.name == "BOOL" and not {0, 1}.issuperset(values):
        raise Refusal(400, f"{where}: expected BOOL values in 'data', got numbers other than 0 and 1")
    try:
        return array(datatype.code, values).tobytes()
    except OverflowError as error:
        raise Refusal(400, f"{where}: expected {datatype.name} values in 'data', got one out of its range") from error


def _pack_texts(where: str, values: list[str]) -> bytes:
    out = bytearray()
    try:
        for value in values:
            text = value.encode()
            out += _LENGTH.pack(len(text)) + text
    except UnicodeEncodeError as error:
        raise Refusal(400, f"{where}: expected text that UTF-8 can hold in 'data'") from error
    return bytes(out)
