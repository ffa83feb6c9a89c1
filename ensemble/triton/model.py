"""The python model that Triton runs: requests in, the request graph's executor, responses out.

An exported ``model.py`` only imports ``TritonPythonModel`` from here. Every request of a batch is checked on its own,
so that a bad one does not spoil the others; the good ones share one pass through the graph. Nothing but a response
ever goes back to Triton: a None would leave the client waiting for ever.
"""

from __future__ import annotations

import gc
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RequestError
from ...core.signature import Columns, ColumnSpec, Signature
from ..graph.executor import Executor
from ..protocol.response_split import listed, split
from ..protocol.triton_tensors import Tensors
from ..protocol.wire import (
    OVERLOADED,
    WireType,
    from_wire,
    one_line,
)
from ..repository.model_config import QUEUE_SIZE, STAGES_MS
from .pass_metrics import (
    PACK,
    TOTAL,
    UNPACK,
    PassMetrics,
)

_log = logging.getLogger("cascade.backend")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was read and checked."""

    request: Any
    columns: Columns
    users: int


class TritonPythonModel:
    """Triton's interface of a python model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's folder once, and run it, so that the first request is not the first run.

        Args:
            args: Triton's; ``model_config`` as JSON, ``model_repository`` (the model's folder), ``model_version``.
        """
        import triton_python_backend_utils

        from .warm_up import warm_up

        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("cascade").setLevel(logging.INFO)
        config = json.loads(args["model_config"])
        self.triton = triton_python_backend_utils
        self.outputs = output_signature(config)
        self.tensors = Tensors(self.triton.Tensor, self.outputs)
        self.executor = self.load(Path(args["model_repository"]) / args["model_version"])
        self.most = int(config["parameters"][QUEUE_SIZE]["string_value"])
        self.cut = listed({name: self.executor.signature[name] for name in self.executor.outputs})
        warm_up(self.executor)
        self.metrics = PassMetrics(self.triton, config["name"], self.executor.stages)
        self.metrics.start()
        settle()

    def load(self, folder: Path) -> Executor:
        """What runs a pass, from the version's folder."""
        return Executor.load(folder)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request, in order.

        Triton hands over all that waits. The first of them are answered, the rest refused: else an overloaded model
        would answer nobody for as long as its whole backlog takes.
        """
        start = perf_counter()
        read = [self._read(request) for request in requests[: self.most]]
        read += [self.unavailable(f"{OVERLOADED} ({self.most})") for _ in requests[self.most :]]
        asked = [entry for entry in read if isinstance(entry, Asked)]
        took = dict.fromkeys((*self.executor.stages, UNPACK, PACK), 0.0) | {UNPACK: perf_counter() - start}
        answers = iter(self._respond(asked, took))
        responses = [next(answers) if isinstance(entry, Asked) else entry for entry in read]
        if asked:
            took[TOTAL] = perf_counter() - start
            self.metrics.observe(len(asked), sum(one.users for one in asked), took)
        return responses

    def finalize(self) -> None:
        """Take the metrics of this process away."""
        self.metrics.stop()

    def _read(self, request: Any) -> Any:
        """The request, checked, or the response that says what is wrong with it."""
        try:
            return self.ask(request)
        except Exception as error:
            return self.refusal(error)

    def ask(self, request: Any) -> Asked:
        """Read and check a request.

        Raises:
            RequestError: if it cannot be answered.
        """
        columns = {tensor.name(): from_wire(tensor.name(), tensor.as_numpy()) for tensor in request.inputs()}
        return Asked(request, columns, self.executor.intake.check(columns))

    def _respond(self, asked: Sequence[Asked], took: dict[str, float]) -> list[Any]:
        """One response for each request; as few passes as their sizes allow, whose seconds are added to ``took``."""
        columns, users = [one.columns for one in asked], [one.users for one in asked]
        groups = self.executor.intake.passes(columns, users)
        return [response for group in groups for response in self._share(asked[group], took)]

    def _share(self, asked: Sequence[Asked], took: dict[str, float]) -> list[Any]:
        """One response for each request, of one pass; where it fails, of a pass for each."""
        try:
            return self._pass(asked, took)
        except Exception as error:
            if len(asked) == 1:
                return [self.refusal(error)]
            _log.warning("a pass of %d requests failed, answering one by one: %s", len(asked), one_line(error))
            return [response for one in asked for response in self._share([one], took)]

    def _pass(self, asked: Sequence[Asked], took: dict[str, float]) -> list[Any]:
        users = [one.users for one in asked]
        start = perf_counter()
        columns = self.executor.intake.join([one.columns for one in asked], users)
        top_k = columns.get("top_k")
        took[UNPACK] += perf_counter() - start
        answer, seconds = self.executor.run_pass(columns)
        start = perf_counter()
        for stage, stage_s in seconds.items():
            took[stage] += stage_s
        self.add_times(answer, columns, seconds, sum(users))
        check_outputs(answer, self.outputs, sum(users))
        parts = split(answer, users, self.cut, top_k)
        responses = [self._response(one.request, part) for one, part in zip(asked, parts, strict=True)]
        took[PACK] += perf_counter() - start
        return responses

    def add_times(
        self, answer: dict[str, NDArray[Any]], columns: Columns, seconds: dict[str, float], users: int
    ) -> None:
        """Add the output ``stages_ms`` to the ``answer`` to ``columns``, both [users, ...]."""
        answer[STAGES_MS] = np.repeat(1000 * np.array([[*seconds.values()]], dtype=np.float32), users, axis=0)

    def _response(self, request: Any, answer: Columns) -> Any:
        wanted = request.requested_output_names()
        return self.triton.InferenceResponse(
            [self.tensors.of(name, answer[name]) for name in self.outputs if name in wanted]
        )

    def unavailable(self, text: str) -> Any:
        """The response that asks for another try."""
        error = self.triton.TritonError(text, self.triton.TritonError.UNAVAILABLE)
        return self.triton.InferenceResponse(output_tensors=[], error=error)

    def refusal(self, error: Exception) -> Any:
        """The response that says what is wrong."""
        code = self.triton.TritonError.INVALID_ARG
        text = one_line(error)
        if not isinstance(error, RequestError):
            _log.error("request failed", exc_info=error)
            code = self.triton.TritonError.INTERNAL
            text = f"internal error ({type(error).__name__}); the server's log says more"
        return self.triton.InferenceResponse(output_tensors=[], error=self.triton.TritonError(text, code))


def settle() -> None:
    """Spare the garbage collector what stays for ever: looking through it takes 47 ms, in the middle of a pass."""
    gc.collect()
    gc.freeze()


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
