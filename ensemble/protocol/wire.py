"""Between Triton's wire and the graph's columns: dtypes, text, error lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RequestError, ServerError

Answer = TypeVar("Answer")

_WIRE = {
    "TYPE_BOOL": ("BOOL", "bool"),
    "TYPE_INT32": ("INT32", "int32"),
    "TYPE_INT64": ("INT64", "int64"),
    "TYPE_FP32": ("FP32", "float32"),
    "TYPE_FP64": ("FP64", "float64"),
    "TYPE_STRING": ("BYTES", "object"),
}
"""Data type in config.pbtxt -> data type of the protocol and numpy dtype of the graph's column."""

_LONGEST_LINE = 400
_ADDED_BY_TRITON = re.compile(r"^(\[request id: <id_unknown>\] )?(in ensemble '[^']*', )?")
_MISSING_TEXT = b"\xff"
"""A missing text between the steps of an ensemble: bytes that no UTF-8 text has."""
OVERLOADED = "more requests wait than serving.max_queue_size allows"
"""What a model says to those that it does not take into a pass."""
BEING_LOADED = "a release is being loaded, ask again"
"""What a step of an ensemble says while there are steps of two releases."""


class NoAnswerError(ServerError):
    """A server took the request and did not answer in time."""


@dataclass(frozen=True)
class WireType:
    """One of Triton's data types."""

    name: str
    """As the protocol writes it, e.g. ``INT64``."""
    dtype: str
    """As the graph's columns have it; ``object`` holds ``str``."""

    @classmethod
    def of_config(cls, data_type: int | str) -> WireType:
        """From a config's ``data_type``, a name or a protobuf enum value."""
        if isinstance(data_type, str):
            return cls(*_WIRE[data_type])
        from tritonclient.grpc import model_config_pb2

        return cls(*_WIRE[model_config_pb2.DataType.Name(data_type)])

    def encode(self, name: str, rows: Sequence[Sequence[Any]], shape: tuple[int, int]) -> Any:
        """An ``InferInput`` of ``shape``; text is read as a number where the input is one.

        Raises:
            RequestError: naming the input, if a value cannot be held by its dtype.
        """
        import tritonclient.grpc as grpc

        values = [self.value(name, value) for row in rows for value in row]
        array = np.array(values, dtype=self.dtype).reshape(shape)
        array = encode_text(array) if self.dtype == "object" else array
        tensor = grpc.InferInput(name, list(shape), self.name)
        tensor.set_data_from_numpy(array)
        return tensor

    def value(self, name: str, value: Any) -> Any:
        """``value`` as this type holds it: str, int or float.

        Raises:
            RequestError: naming the input.
        """
        if self.dtype == "object":
            return str(value)
        refusal = RequestError(f"{name}: expected {self.dtype}, got {value!r}")
        try:
            number = float(value) if self.dtype.startswith("float") else int(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise refusal from error
        if isinstance(number, int) and not self._holds(number, value):
            raise refusal
        return number

    def _holds(self, number: int, value: Any) -> bool:
        """Whether this integer type has ``number``, and ``value`` was one: 1.5 is not 1."""
        limits = np.iinfo(self.dtype)
        return limits.min <= number <= limits.max and (isinstance(value, str) or number == value)


def from_wire(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """An input as the graph's columns have it, same shape. NaN stands for a missing value inside the graph only.

    Raises:
        RequestError: naming the input, if it holds NaN or bytes that are not UTF-8.
    """
    if array.dtype == object:
        return decode_text(name, array)
    if array.dtype.kind == "f" and (array.item() != array.item() if array.size == 1 else np.isnan(array).any()):
        raise RequestError(f"{name}: expected a number, got NaN; leave the input out where it is missing")
    return array


def decode_text(name: str, array: NDArray[np.object_], *, missing: bool = False) -> NDArray[np.object_]:
    """Triton's bytes as ``str``, same shape.

    Args:
        missing: whether values may be missing, as they may between the steps of an ensemble; they become None.

    Raises:
        RequestError: naming the input, if the bytes are not UTF-8.
    """
    out = np.empty(array.shape, dtype=object)
    none = _MISSING_TEXT if missing else None
    try:
        out.reshape(-1)[:] = [
            (None if value == none else value.decode()) if isinstance(value, bytes) else value
            for value in array.reshape(-1)
        ]
    except UnicodeDecodeError as error:
        raise RequestError(f"{name}: expected UTF-8 text, got bytes that are not: {error.object[:20]!r}") from error
    return out


def encode_text(array: NDArray[np.object_]) -> NDArray[np.object_]:
    """``str`` as Triton's bytes, same shape; None as bytes that ``decode_text`` knows again."""
    out = np.empty(array.shape, dtype=object)
    out.reshape(-1)[:] = [_MISSING_TEXT if value is None else value.encode() for value in array.reshape(-1)]
    return out


def one_line(error: BaseException | str) -> str:
    """What an error says, on one line that is not endless."""
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 3] + "..."


def ask_for(call: Callable[[], Answer], url: str) -> Answer:
    """Make a call to Triton; its errors become ours.

    Raises:
        RequestError: with the server's message, for a request that it refuses.
        ServerError: for everything else, with what to do.
    """
    import tritonclient.grpc as grpc

    try:
        return call()
    except grpc.InferenceServerException as error:
        raise translate(error.status() or "", error.message() or "", url) from error


def translate(status: str, message: str, url: str) -> RequestError | ServerError:
    """The error of ours for a gRPC status such as ``StatusCode.INVALID_ARGUMENT``."""
    text = one_line(_ADDED_BY_TRITON.sub("", message).split(" NOTE: ")[0])
    match status.removeprefix("StatusCode."):
        case "INVALID_ARGUMENT":
            return RequestError(text)
        case "NOT_FOUND":
            return ServerError(f"{url}: {text}; `cascade serve` serves what `cascade run` has exported")
        case "UNAVAILABLE" if OVERLOADED in text:
            return ServerError(f"{url}: overloaded, ask again later: {text}")
        case "UNAVAILABLE" if "Request for unknown model" not in text and BEING_LOADED not in text:
            return ServerError(f"{url}: no server answers; start one with `cascade serve` or give its address: {text}")
        case "DEADLINE_EXCEEDED":
            return NoAnswerError(f"{url}: no answer in time; see the server's log")
        case _:
            return ServerError(f"{url}: {text}")
