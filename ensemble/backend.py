"""The python model that Triton runs: requests in, the request graph's executor, responses out.

An exported ``model.py`` only imports ``TritonPythonModel`` from here. Every request of a batch is checked and answered
on its own, so that a bad one does not spoil the others, and nothing but a response ever goes back to Triton:
a None would leave the client waiting for ever.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RequestError
from ..core.signature import Columns, ColumnSpec, Signature
from .requests import WireType, encode_text, from_wire, one_line

_log = logging.getLogger("cascade.backend")


class TritonPythonModel:
    """Triton's interface of a python model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's folder once.

        Args:
            args: Triton's; ``model_config`` as JSON, ``model_repository`` (the model's folder), ``model_version``.
        """
        from .executor import Executor

        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("cascade").setLevel(logging.INFO)
        config = json.loads(args["model_config"])
        self.inputs = [entry["name"] for entry in config["input"]]
        self.outputs = output_signature(config)
        self.executor = Executor.load(Path(args["model_repository"]) / args["model_version"])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request, in order."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        import triton_python_backend_utils as triton

        try:
            return self._answer(request)
        except RequestError as error:
            return _refusal(one_line(error), triton.TritonError.INVALID_ARG)
        except Exception as error:
            _log.exception("request failed")
            text = f"internal error ({type(error).__name__}); the server's log says more"
            return _refusal(text, triton.TritonError.INTERNAL)

    def _answer(self, request: Any) -> Any:
        import triton_python_backend_utils as triton

        columns = self._read(request)
        answer, took_ms = self.executor.run(columns)
        users = len(columns["user_id"])
        row = np.array([[took_ms[stage] for stage in self.executor.stages]], dtype=np.float32)
        answer = {**answer, "stages_ms": np.repeat(row, users, axis=0)}
        check_outputs(answer, self.outputs, users)
        wanted = set(request.requested_output_names())
        return triton.InferenceResponse(
            [triton.Tensor(name, _to_wire(answer[name])) for name in self.outputs if name in wanted]
        )

    def _read(self, request: Any) -> Columns:
        """The inputs that the request brings, each [B, ...]."""
        import triton_python_backend_utils as triton

        columns = {}
        for name in self.inputs:
            tensor = triton.get_input_tensor_by_name(request, name)
            if tensor is not None:
                columns[name] = from_wire(name, tensor.as_numpy())
        return columns


def output_signature(config: dict[str, Any]) -> Signature:
    """The outputs of a model config (JSON, as Triton hands it over); a dim of -1 varies."""
    return {
        entry["name"]: ColumnSpec(
            WireType.of_config(entry["data_type"]).dtype,
            tuple("k" if int(dim) < 0 else int(dim) for dim in entry["dims"]),
        )
        for entry in config["output"]
    }


def check_outputs(answer: Columns, outputs: Signature, users: int) -> None:
    """Triton passes on whatever it is given, so a column of another shape must not reach it.

    Raises:
        TypeError: naming the first output that is missing or has another dtype, rank or size.
    """
    for name, spec in outputs.items():
        array = answer.get(name)
        if array is None or len(array) != users or not spec.accepts(array):
            came = "nothing" if array is None else f"{array.dtype}{list(array.shape)}"
            raise TypeError(f"output {name}: expected {spec} with B = {users}, got {came}")


def _to_wire(array: NDArray[Any]) -> NDArray[Any]:
    return encode_text(array) if array.dtype == object else np.ascontiguousarray(array)


def _refusal(text: str, code: Any) -> Any:
    import triton_python_backend_utils as triton

    return triton.InferenceResponse(output_tensors=[], error=triton.TritonError(text, code))
