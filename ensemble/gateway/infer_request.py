"""An inference request: the body of a client's is checked, and written anew for Triton.

Nothing is allocated for what a request only claims: the shape of a tensor has to agree with the data that came.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

from .datatypes import DATATYPES, MAX_DIMS, DataType, flat, pack
from .refusals import Refusal

MAX_JSON_BYTES = 8 * 1024 * 1024
"""Reading JSON takes 16 times its size and holds up other requests; larger tensors are sent as binary data."""
MAX_TENSORS = 256
MAX_NAME = 1024
"""Longest name of a tensor or a parameter, in characters."""
_compact = json.JSONEncoder(separators=(",", ":")).encode
_LONGEST_DIM = 2**63 - 1
_LONGEST_EMPTY = 2**20
"""Longest dimension of a tensor without elements."""
_FLAGS = ("binary_data", "binary_data_output")
_SIZES = (
    "binary_data_size",
    "shared_memory_offset",
    "shared_memory_byte_size",
    "priority",
    "timeout",
)
"""Parameters that Triton reads as numbers without a sign."""
_SHARED_MEMORY = ("shared_memory_region", "shared_memory_offset", "shared_memory_byte_size")


@dataclass(frozen=True)
class InferRequest:
    """A checked request, as Triton gets it: every tensor is binary, unless it lies in shared memory."""

    header: bytes
    """JSON."""
    tensors: list[bytes]
    """What follows the JSON, in the order of the inputs."""

    @property
    def body(self) -> bytes:
        return b"".join([self.header, *self.tensors])


def read_request(body: bytes, header_length: int | None, *, shared_memory: bool = False) -> InferRequest:
    """Check a request and write it anew.

    Args:
        body: JSON, followed by the binary tensors in the order of the inputs.
        header_length: bytes of the JSON, from the header ``Inference-Header-Content-Length``; None if all of it is.
        shared_memory: whether tensors may lie in shared memory.

    Raises:
        Refusal: naming the field, what was expected and what came.
    """
    if header_length is not None and not 0 < header_length <= len(body):
        raise Refusal(
            400,
            f"Inference-Header-Content-Length: expected 1 to {len(body)}, the size of the body, got {header_length}; "
            "a body of binary data alone is not supported",
        )
    request = _object("the request", _parsed(body if header_length is None else body[:header_length]))
    binary = _Binary(body, len(body) if header_length is None else header_length)
    header: dict[str, Any] = {}
    if "id" in request:
        header["id"] = _text("id", request["id"])
    if parameters := _parameters("parameters", request.get("parameters", {})):
        header["parameters"] = parameters
    tensors: list[bytes] = []
    header["inputs"] = [
        _input(f"inputs[{at}]", tensor, binary, tensors, shared_memory)
        for at, tensor in enumerate(_list("inputs", request.get("inputs")))
    ]
    if binary.left:
        raise Refusal(400, f"the body has {binary.left} bytes more than its inputs; see their binary_data_size")
    if "outputs" in request:
        header["outputs"] = [
            _output(f"outputs[{at}]", tensor, shared_memory)
            for at, tensor in enumerate(_list("outputs", request["outputs"]))
        ]
    return InferRequest(_compact(header).encode(), tensors)


class _Binary:
    """The binary tensors after the JSON."""

    def __init__(self, body: bytes, start: int) -> None:
        self._body, self._at = body, start

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, where: str, size: Any) -> bytes:
        if not _whole(size) or not 0 <= size <= self.left:
            raise Refusal(
                400,
                f"{where}: expected a binary_data_size of 0 to {self.left}, the bytes that follow, got {_brief(size)}",
            )
        start, self._at = self._at, self._at + size
        return self._body[start : self._at]


def _parsed(text: bytes) -> Any:
    if len(text) > MAX_JSON_BYTES:
        raise Refusal(
            413,
            f"the JSON of the request: expected at most {MAX_JSON_BYTES:,} bytes, got {len(text):,}; "
            "send large tensors as binary data",
        )
    try:
        return json.loads(text)
    except RecursionError as error:
        raise Refusal(400, "failed to parse the request JSON buffer: nested too deep") from error
    except json.JSONDecodeError as error:
        raise Refusal(400, f"failed to parse the request JSON buffer: {error}") from error
    except UnicodeDecodeError as error:
        raise Refusal(400, "failed to parse the request JSON buffer: expected UTF-8") from error
    except ValueError as error:  # of int
        raise Refusal(400, "failed to parse the request JSON buffer: a number has too many digits") from error


def _input(where: str, tensor: Any, binary: _Binary, tensors: list[bytes], shared_memory: bool) -> dict[str, Any]:
    """The input of the new header; its data is added to ``tensors``."""
    tensor = _object(where, tensor)
    name = _name(f"{where}.name", tensor.get("name"))
    where = f"input {name!r}"
    datatype, shape = _datatype(where, tensor.get("datatype")), _shape(where, tensor.get("shape"))
    parameters = _parameters(f"{where}: parameters", tensor.get("parameters", {}))
    if not _in_shared_memory(where, parameters, shared_memory):
        if "binary_data_size" in parameters:
            raw = binary.take(where, parameters["binary_data_size"])
            _check_size(where, datatype, shape, raw)
        else:
            values = flat(where, tensor.get("data"))
            if len(values) != prod(shape):
                raise Refusal(
                    400, f"{where}: expected as many values in 'data' as shape {shape} has, got {len(values)}"
                )
            raw = pack(where, datatype, values)
        parameters["binary_data_size"] = len(raw)
        tensors.append(raw)
    return {"name": name, "datatype": datatype.name, "shape": shape, "parameters": parameters}


def _output(where: str, tensor: Any, shared_memory: bool) -> dict[str, Any]:
    tensor = _object(where, tensor)
    name = _name(f"{where}.name", tensor.get("name"))
    parameters = _parameters(f"output {name!r}: parameters", tensor.get("parameters", {}))
    _in_shared_memory(f"output {name!r}", parameters, shared_memory)
    return {"name": name, "parameters": parameters}


def _check_size(where: str, datatype: DataType, shape: list[int], raw: bytes) -> None:
    elements = prod(shape)
    fits = elements * datatype.size <= len(raw) if datatype.text else elements * datatype.size == len(raw)
    if not fits or (datatype.text and not elements and raw):
        raise Refusal(
            400, f"{where}: {len(raw)} bytes of binary data are not a {datatype.name} tensor of shape {shape}"
        )


def _in_shared_memory(where: str, parameters: dict[str, Any], allowed: bool) -> bool:
    used = any(name in parameters for name in _SHARED_MEMORY)
    if used and not allowed:
        raise Refusal(403, f"{where}: shared memory is off, see server.shared_memory", "forbidden")
    return used


def _parameters(where: str, parameters: Any) -> dict[str, Any]:
    """Checked parameters, of an input, an output or the request."""
    checked: dict[str, Any] = {}
    for name, value in _object(where, parameters).items():
        key = _name(where, name)
        at = f"{where}.{key}"
        if key == "classification":  # of an output of text, it ends Triton by a division by zero
            raise Refusal(400, f"{at}: is not offered; ask for the output as it is, and sort it")
        if key in _FLAGS and not isinstance(value, bool):
            raise Refusal(400, f"{at}: expected true or false, got {_brief(value)}")
        if key in _SIZES and not (_whole(value) and 0 <= value < 2**63):
            raise Refusal(400, f"{at}: expected a whole number from 0 on, got {_brief(value)}")
        number = isinstance(value, float) and isfinite(value)
        if isinstance(value, bool) or number or (_whole(value) and -(2**63) <= value < 2**63):
            checked[key] = value
        elif isinstance(value, str):
            checked[key] = _text(at, value)
        else:
            raise Refusal(400, f"{at}: expected a string, a number or a boolean, got {_brief(value)}")
    return checked


def _datatype(where: str, name: Any) -> DataType:
    found = DATATYPES.get(name) if isinstance(name, str) else None
    if found is None:
        raise Refusal(400, f"{where}: expected a datatype of {', '.join(DATATYPES)}, got {_brief(name)}")
    return found


def _shape(where: str, shape: Any) -> list[int]:
    if not isinstance(shape, list) or len(shape) > MAX_DIMS:
        raise Refusal(400, f"{where}: expected a shape of at most {MAX_DIMS} whole numbers, got {_brief(shape)}")
    if wrong := [dim for dim in shape if not _whole(dim) or not 0 <= dim <= _LONGEST_DIM]:
        raise Refusal(400, f"{where}: expected a shape of whole numbers from 0 to 2^63 - 1, got {_brief(wrong[0])}")
    if 0 in shape and max(shape) > _LONGEST_EMPTY:
        raise Refusal(400, f"{where}: expected a shape of numbers up to {_LONGEST_EMPTY} beside a 0, got {max(shape)}")
    return shape


def _name(where: str, name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise Refusal(400, f"{where}: expected a name of 1 to {MAX_NAME} characters, got {_brief(name)}")
    return _text(where, name)


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise Refusal(400, f"{where}: expected a string, got {_brief(value)}")
    if "\0" in value:  # Triton would take the text to end there
        raise Refusal(400, f"{where}: expected text without a zero character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refusal(400, f"{where}: expected text that UTF-8 can hold") from error
    return value


def _list(where: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_TENSORS:
        raise Refusal(400, f"{where}: expected a list of at most {MAX_TENSORS} tensors, got {_brief(value)}")
    return value


def _object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, f"{where}: expected a JSON object, got {_brief(value)}")
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _brief(value: Any) -> str:
    """A JSON value for an error: short, whatever a client sends."""
    if isinstance(value, (list, dict)):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a number of more than 20 digits"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
