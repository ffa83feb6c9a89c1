"""Data types and text, between Triton's wire format and the graph's columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RequestError

_WIRE = {
    "TYPE_BOOL": ("BOOL", "bool"),
    "TYPE_INT32": ("INT32", "int32"),
    "TYPE_INT64": ("INT64", "int64"),
    "TYPE_FP32": ("FP32", "float32"),
    "TYPE_FP64": ("FP64", "float64"),
    "TYPE_STRING": ("BYTES", "object"),
}
"""Data type in config.pbtxt -> data type of the protocol, and numpy dtype of the graph's column."""

_MISSING_TEXT = b"\xff"
"""A missing text: a byte that occurs in no UTF-8 text."""


@dataclass(frozen=True)
class WireType:
    """One of Triton's data types."""

    name: str
    """Its name in the protocol, e.g. ``INT64``."""
    dtype: str
    """The dtype of the graph's column; ``object`` holds ``str``."""

    @classmethod
    def of_config(cls, data_type: int | str) -> WireType:
        """From a config's ``data_type``, a name or a protobuf enum value."""
        if isinstance(data_type, str):
            return cls(*_WIRE[data_type])
        from tritonclient.grpc import model_config_pb2

        return cls(*_WIRE[model_config_pb2.DataType.Name(data_type)])

    def encode(self, name: str, rows: Sequence[Sequence[Any]], shape: tuple[int, int]) -> Any:
        """An ``InferInput`` of ``shape`` with these rows. For numeric inputs, text that holds a number is converted.

        Raises:
            RequestError: naming the input, if its dtype cannot hold a value.
        """
        import tritonclient.grpc as grpc

        values = [self.value(name, value) for row in rows for value in row]
        array = np.array(values, dtype=self.dtype).reshape(shape)
        array = encode_text(array) if self.dtype == "object" else array
        tensor = grpc.InferInput(name, list(shape), self.name)
        tensor.set_data_from_numpy(array)
        return tensor

    def value(self, name: str, value: Any) -> Any:
        """``value`` as str, int or float, whichever this type holds.

        Raises:
            RequestError: naming the input, if the type cannot hold the value.
        """
        if self.dtype == "object":
            return _utf8(name, as_text(value))
        refusal = RequestError(f"{name}: expected {self.dtype}, got {value!r}")
        if isinstance(value, str) and ("_" in value or not value.isascii()):  # Python reads 1_0 as 10
            raise refusal
        try:
            number = float(as_written(value)) if self.dtype.startswith("float") else int(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise refusal from error
        if isinstance(number, int) and not self._holds(number, value):
            raise refusal
        return number

    def identifier(self, name: str, value: Any) -> Any:
        """``value`` as a raw id. Unlike ``value``, it makes no text of a number: that would be the id of nobody.

        Raises:
            RequestError: naming the input, if the ids are of another type.
        """
        if self.dtype == "object" and not isinstance(value, str):
            raise RequestError(f"{name}: expected a string, as the ids of this model are text, got {value!r}")
        if isinstance(value, (bool, np.bool_, bytes)):
            raise RequestError(f"{name}: expected {self.dtype}, got {value!r}")
        if isinstance(value, (float, np.floating)) and abs(value) >= (exact := 2 ** (np.finfo(type(value)).nmant + 1)):
            raise RequestError(
                f"{name}: expected {self.dtype}, got the float {value!r}; from {exact:,} on such a float may be "
                "another id's, so keep ids as whole numbers"
            )
        return self.value(name, value)

    def _holds(self, number: int, value: Any) -> bool:
        """Whether ``number`` is in the range of this integer type and equals ``value``: 1.5 must not become 1."""
        limits = np.iinfo(self.dtype)
        return limits.min <= number <= limits.max and (isinstance(value, str) or number == value)


def as_written(value: Any) -> Any:
    """A float of 32 or 16 bits as the number that it is written as, as the data stage reads it: 0.1 for the float32
    next to 0.1. Whole numbers keep their value, and so does all else."""
    narrow = isinstance(value, np.floating) and value.itemsize < 8
    return float(str(value)) if narrow and np.isfinite(value) and not float(value).is_integer() else value


def as_text(value: Any) -> str:
    """A value as the text that the data stage makes of it: 7.0 is ``7``, True is ``true``, as in Parquet."""
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    if not isinstance(value, (float, np.floating)):
        return str(value)
    number = float(as_written(value))
    if number.is_integer() and abs(number) < 2**53:
        return str(int(number))
    if 1e-6 <= abs(number) < 1e10:  # where Arrow writes no exponent
        return np.format_float_positional(number, trim="-")
    return np.format_float_scientific(number, trim="-", exp_digits=1)


def _utf8(name: str, text: str) -> str:
    """``text``, unless it holds half of a surrogate pair, which UTF-8 cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"{name}: expected text that UTF-8 can hold, got {text!r}") from error
    return text


def from_wire(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An input as a column of the graph, same shape.

    A row's value is missing if it is NaN, the smallest int64, or the text of the one byte 0xFF, which occurs in no
    UTF-8; `Input.check` refuses it where an input may not be missing.

    Raises:
        RequestError: naming the input, if it holds bytes that are not UTF-8.
    """
    return decode_text(name, array) if array.dtype == object else array


def decode_text(name: str, array: NDArray[np.object_]) -> NDArray[np.object_]:
    """Triton's bytes as ``str``, same shape; missing ones as None.

    Raises:
        RequestError: naming the input, if the bytes are not UTF-8.
    """
    out = np.empty(array.shape, dtype=object)
    try:
        out.reshape(-1)[:] = [
            (None if value == _MISSING_TEXT else value.decode()) if isinstance(value, bytes) else value
            for value in array.reshape(-1)
        ]
    except UnicodeDecodeError as error:
        raise RequestError(f"{name}: expected UTF-8 text, got bytes that are not: {error.object[:20]!r}") from error
    return out


def encode_text(array: NDArray[np.object_]) -> NDArray[np.object_]:
    """``str`` as Triton's bytes, same shape; None as the byte that ``decode_text`` reads as missing."""
    out = np.empty(array.shape, dtype=object)
    out.reshape(-1)[:] = [_MISSING_TEXT if value is None else value.encode() for value in array.reshape(-1)]
    return out
