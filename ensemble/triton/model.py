"""The python model that Triton runs: requests in, the request graph's executor, responses out.

An exported ``model.py`` only imports ``TritonPythonModel`` from here. Every request is checked separately, so that an
invalid one does not affect the others; the valid ones share a pass through the graph. Each request gets a response:
for a None, Triton would let the client wait for ever.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RequestError
from ...core.processes import keep_freed_memory
from ...core.signature import Columns
from ..graph.executor import Executor
from ..protocol.call_errors import OVERLOADED, one_line
from ..protocol.inputs import ARM_INPUT
from ..protocol.pulse import PROBE
from ..protocol.request_batching import split, top_k_outputs
from ..protocol.serving_file import Beside
from ..protocol.skew_rows import SkewSettings
from ..protocol.triton_tensors import ResponseTensors
from ..protocol.wire import from_wire
from ..repository.digests import check_files
from ..repository.model_config import QUEUE_SIZE, STAGES_MS
from .arms.beside import AskedBeside
from .arms.router import Answer, CheckedRequest
from .held_releases import HeldReleases
from .outputs import check_outputs, output_signature
from .own_region import keep_private
from .pass_metrics import PACK, TOTAL, UNPACK, PassMetrics, RefusalReason
from .pulse_writer import PulseWriter
from .skew_sampler import SkewSampler

_log = logging.getLogger("cascade.backend")

_SWITCH_S = 0.0005
"""Seconds that a pass waits at most for each other thread of the process, such as that of a shadow; Python: 0.005."""


def is_probe(request: Any) -> bool:
    """Whether the server itself asks, to see whether the model answers."""
    return bool(request.request_id() == PROBE)


class TritonPythonModel:
    """Triton's interface of a python model."""

    joins_releases = True
    """Whether this process can hold other releases beside its own, see `HeldReleases`."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the version's folder and run the graph, so that the first request finds everything warm.

        Args:
            args: Triton's; ``model_config`` as JSON, ``model_repository`` (the model's folder), ``model_version``,
                ``model_instance_name``.
        """
        import triton_python_backend_utils

        keep_freed_memory()
        keep_private()
        sys.setswitchinterval(_SWITCH_S)
        logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
        logging.getLogger("cascade").setLevel(logging.INFO)
        self.pulse = PulseWriter(args["model_instance_name"])
        self.pulse.start()
        config = json.loads(args["model_config"])
        self.triton = triton_python_backend_utils
        self.outputs = output_signature(config)
        self.tensors = ResponseTensors(self.triton.Tensor, self.outputs)
        folder = Path(args["model_repository"]) / args["model_version"]
        self.releases = HeldReleases(folder, self.load, self.pulse, self.joins_releases)
        self.executor = self.releases.active
        self.max_requests = int(config["parameters"][QUEUE_SIZE]["string_value"])
        self.top_k_outputs = top_k_outputs({name: self.executor.signature[name] for name in self.executor.outputs})
        self.takes_arm = ARM_INPUT.name in {entry["name"] for entry in config["input"]}
        self.beside = self.asked_beside(config)
        self.skew = SkewSampler(SkewSettings.of_environment())
        self.metrics = PassMetrics(self.triton, config["name"], self.releases, self.beside.values)
        self.metrics.start()
        self.releases.start(self.metrics.count_from_now, self.metrics.forget, self.follow)
        self.pulse.ready()

    def load(self, folder: Path) -> Executor:
        """The executor of the version in ``folder``."""
        check_files(folder, contents_up_to=0)  # what serves has checked the contents
        return Executor.load(folder)

    def asked_beside(self, config: dict[str, Any]) -> AskedBeside:
        """Who is asked beside the active release of a model with this config."""
        stages = config["parameters"].get("stages", {}).get("string_value", "").split(",")
        return AskedBeside(config["name"], self.executor.batcher, self.top_k_outputs, stages)

    def follow(self, beside: Beside) -> None:
        """Ask these from now on."""
        self.beside.follow(beside)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request, in order.

        Triton hands over all requests that wait. The first ``max_requests`` are answered and the rest refused.
        Otherwise, an overloaded model would answer nobody until it had worked off its whole backlog.
        """
        with self.pulse.working():
            return self._answer(requests)

    def _answer(self, requests: Sequence[Any]) -> list[Any]:
        start = perf_counter()
        self.executor = self.releases.active  # one release answers all requests of a call
        read = [self._read(request) for request in requests[: self.max_requests]]
        too_many = f"{OVERLOADED} ({self.max_requests})"
        read += [self.unavailable(too_many, RefusalReason.OVERLOADED) for _ in requests[self.max_requests :]]
        checked = [entry for entry in read if isinstance(entry, CheckedRequest)]
        seconds = dict.fromkeys((*self.executor.stages, UNPACK, PACK), 0.0) | {UNPACK: perf_counter() - start}
        answers = iter(self._respond(checked, seconds))
        responses = [next(answers) if isinstance(entry, CheckedRequest) else entry for entry in read]
        if checked:
            seconds[TOTAL] = perf_counter() - start
            self.metrics.observe(len(checked), sum(entry.users for entry in checked), seconds)
        return responses

    def finalize(self) -> None:
        """Remove the metrics and the pulse of this process."""
        self.releases.stop()
        self.beside.stop()
        self.skew.stop()
        self.metrics.stop()
        self.pulse.stop()

    def read(self, request: Any) -> CheckedRequest:
        """Read and check a request.

        Raises:
            RequestError: if it is not valid.
        """
        columns = {tensor.name(): from_wire(tensor.name(), tensor.as_numpy()) for tensor in request.inputs()}
        arm = columns.pop(ARM_INPUT.name, None) if self.takes_arm else None
        users = self.executor.batcher.check(columns)
        if arm is not None:
            self.beside.check(arm, users)
        return CheckedRequest(request, columns, columns, users, arm, is_probe(request))

    def add_times(
        self, answer: dict[str, NDArray[Any]], columns: Columns, seconds: dict[str, float], users: int
    ) -> None:
        """Add the output ``stages_ms`` to the ``answer`` to ``columns``, both [users, ...]."""
        answer[STAGES_MS] = np.repeat(1000 * np.array([[*seconds.values()]], dtype=np.float32), users, axis=0)

    def unavailable(self, text: str, why: RefusalReason) -> Any:
        """A response that asks the client to try again; ``why`` is counted."""
        self.metrics.refuse(why)
        error = self.triton.TritonError(text, self.triton.TritonError.UNAVAILABLE)
        return self.triton.InferenceResponse(output_tensors=[], error=error)

    def refusal(self, error: Exception) -> Any:
        """A response with the error: a RequestError is passed on, the details of any other go to the log."""
        code = self.triton.TritonError.INVALID_ARG
        text = one_line(error)
        self.metrics.refuse(RefusalReason.INVALID if isinstance(error, RequestError) else RefusalReason.INTERNAL)
        if not isinstance(error, RequestError):
            _log.error("request failed", exc_info=error)
            code = self.triton.TritonError.INTERNAL
            text = f"internal error ({type(error).__name__}); the server's log says more"
        return self.triton.InferenceResponse(output_tensors=[], error=self.triton.TritonError(text, code))

    def _read(self, request: Any) -> Any:
        """The checked request, or the response with what is wrong with it."""
        try:
            return self.read(request)
        except Exception as error:
            return self.refusal(error)

    def _respond(self, requests: Sequence[CheckedRequest], seconds: dict[str, float]) -> list[Any]:
        """A response for each request; adds the durations of the passes to ``seconds``."""
        answers = self.beside.answer(requests, lambda own: self._own_answers(own, seconds))
        start = perf_counter()
        responses = [
            self.refusal(answer) if isinstance(answer, Exception) else self._response(entry.request, answer)
            for entry, answer in zip(requests, answers, strict=True)
        ]
        seconds[PACK] += perf_counter() - start
        return responses

    def _own_answers(self, requests: Sequence[CheckedRequest], seconds: dict[str, float]) -> list[Answer]:
        """The answer of this process to each request, in as few passes as possible."""
        columns, users = [entry.columns for entry in requests], [entry.users for entry in requests]
        groups = self.executor.batcher.passes(columns, users)
        return [answer for group in groups for answer in self._together(requests[group], seconds)]

    def _together(self, requests: Sequence[CheckedRequest], seconds: dict[str, float]) -> list[Answer]:
        """The answer to each request, from one pass; if the pass fails, from one pass for each request."""
        try:
            return self._pass(requests, seconds)
        except Exception as error:
            if len(requests) == 1:
                return [error]
            _log.warning("a pass of %d requests failed, answering one by one: %s", len(requests), one_line(error))
            return [answer for entry in requests for answer in self._together([entry], seconds)]

    def _pass(self, requests: Sequence[CheckedRequest], seconds: dict[str, float]) -> list[Answer]:
        users = [entry.users for entry in requests]
        self.pulse.next_part()
        start = perf_counter()
        columns = self.executor.batcher.join([entry.columns for entry in requests], users)
        top_k = columns.get("top_k")
        seconds[UNPACK] += perf_counter() - start
        sample = self.skew.sample(columns, sum(users))
        answer, stage_seconds = self.executor.run_pass(columns, watch=sample)
        start = perf_counter()
        for stage, took in stage_seconds.items():
            seconds[stage] += took
        self.add_times(answer, columns, stage_seconds, sum(users))
        check_outputs(answer, self.outputs, sum(users))
        parts: list[Answer] = list(split(answer, users, self.top_k_outputs, top_k))
        if sample is not None:
            self.skew.offer(sample, str(self.executor.release.get("release", "")))
        seconds[PACK] += perf_counter() - start
        return parts

    def _response(self, request: Any, answer: Columns) -> Any:
        wanted = request.requested_output_names()
        return self.triton.InferenceResponse(
            [self.tensors.of(name, answer[name]) for name in self.outputs if name in wanted]
        )
