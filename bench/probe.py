"""Reads the counters of a served model before and after a load: requests, passes, CPU time, time by stage."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self

from ..ensemble.protocol.call_errors import ask_for
from .stage_times import PUBLISHED_S, TOTAL, StageTimes
from .targets import ANSWER_S, Target

if TYPE_CHECKING:
    import psutil


@dataclass(frozen=True)
class Snapshot:
    """Counters since the start of the server."""

    requests: int
    """Requests that the model answered which clients call."""
    failed: int
    users: int
    """Users that models were run for; in an ensemble, a user counts once for each step."""
    passes: int
    """Batches that models were run on."""
    cpu_s: Mapping[int, float] = field(default_factory=dict)
    """Process id -> user and system time. Empty if the server is on another machine."""
    stages: StageTimes = field(default_factory=StageTimes)


@dataclass(frozen=True)
class Interval:
    """The differences between two snapshots."""

    before: Snapshot
    after: Snapshot
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Stage -> milliseconds per request, in the order of the graph. Empty if the model publishes no times."""

    @property
    def requests(self) -> int:
        return self.after.requests - self.before.requests

    @property
    def failed(self) -> int:
        return self.after.failed - self.before.failed

    @property
    def effective_batch(self) -> float | None:
        """Mean number of users in one pass, which may join several requests (dynamic batching)."""
        passes = self.after.passes - self.before.passes
        return (self.after.users - self.before.users) / passes if passes else None

    @property
    def cpu_ms_per_request(self) -> float | None:
        """CPU time of tritonserver and its stubs. A stub that was restarted in between counts from its start."""
        if not self.after.cpu_s or not self.requests:
            return None
        before = self.before.cpu_s
        spent = sum(seconds - before.get(pid, 0.0) for pid, seconds in self.after.cpu_s.items())
        return 1000 * spent / self.requests


class Probe:
    """Reads the counters of a target. Use as a context manager."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def snapshot(self) -> Snapshot:
        """The counters now.

        Raises:
            ServerError: if the server does not answer.
        """
        cpu_s = {process.pid: _cpu_s(process) for process in processes(self.target.pid)}
        own = [entry for entry in self._statistics() if entry.name in self._models]
        called = [entry.inference_stats for entry in own if entry.name == self.target.model]
        ran = [entry for entry in own if entry.execution_count]  # an ensemble itself runs nothing
        return Snapshot(
            requests=sum(stats.success.count for stats in called),
            failed=sum(stats.fail.count for stats in called),
            users=sum(entry.inference_count for entry in ran),
            passes=sum(entry.execution_count for entry in ran),
            cpu_s=cpu_s,
            stages=self._stage_times(),
        )

    def since(self, before: Snapshot) -> Interval:
        """The differences since ``before``. Waits until the model has published the times of its last passes."""
        after = self.snapshot()
        if after.stages.seconds:
            time.sleep(PUBLISHED_S)
            after = replace(after, stages=self._stage_times())
        took = after.stages.ms_since(before.stages, self._models)
        return Interval(before, after, dict(sorted(took.items(), key=lambda entry: self._place(entry[0]))))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._triton.close()

    @cached_property
    def _triton(self) -> Any:
        import tritonclient.grpc as grpc

        return grpc.InferenceServerClient(self.target.url)

    @cached_property
    def _config(self) -> Any:
        call = partial(self._triton.get_model_config, self.target.model, client_timeout=ANSWER_S)
        return ask_for(call, self.target.url).config

    @cached_property
    def _models(self) -> set[str]:
        """The model that clients call and, for an ensemble, the models of its steps."""
        return {self.target.model, *(step.model_name for step in self._config.ensemble_scheduling.step)}

    def _place(self, stage: str) -> tuple[int, str]:
        """Sort key of a stage: the stages of the graph in its order, then others, then the total."""
        graph = self._config.parameters["stages"].string_value.split(",")
        return (graph.index(stage) if stage in graph else len(graph) + (stage == TOTAL), stage)

    def _statistics(self) -> list[Any]:
        call = partial(self._triton.get_inference_statistics, client_timeout=ANSWER_S)
        return list(ask_for(call, self.target.url).model_stats)

    def _stage_times(self) -> StageTimes:
        if self.target.metrics_url is None:
            return StageTimes()
        with urllib.request.urlopen(self.target.metrics_url, timeout=ANSWER_S) as answer:
            return StageTimes.parse(answer.read().decode())


def processes(pid: int | None) -> list[psutil.Process]:
    """tritonserver and its child processes. Empty for a server on another machine."""
    import psutil

    if pid is None:
        return []
    try:
        server = psutil.Process(pid)
        return [server, *server.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_s(process: psutil.Process) -> float:
    import psutil

    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)
