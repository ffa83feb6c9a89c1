"""A served model: Triton with one exported model, watched and healed until it is stopped."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Self

from ...core.errors import ServerError
from ...workflows.features.online import REDIS_VARIABLE
from ..config import ServerConfig
from ..repository.step_config import CORE
from .hang_check import HangCheck
from .instance_check import InstanceCheck
from .model_control import ModelControl
from .runtime import assemble_runtime
from .served_model import check_backends, config_file, instance_count, with_instances
from .triton_process import TritonProcess
from .watchdog import Watchdog

_PROBE_S = 10
"""Seconds without an answer after which a probe counts as failed."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Throughput comes from instances; more threads than one in each of them would compete for the cores."""


class TritonServer:
    """A running tritonserver with one model; a stub that dies or hangs is replaced. Use as a context manager.

    Args:
        repository: the exported model repository.
        model: name of the model to serve.
        feature_repo: the Feast repository that the model's lookups read.
        redis: connection string of its online store, with the password that no release holds; None to take the one of
            the environment or of the release.
        config: ports and instances.
        forward: takes each line of the server's log; written to stderr by default.
        cancelled: set it to give up while the server starts.
        startup_s: seconds until the model must have answered a probe request.
    """

    def __init__(
        self,
        repository: Path,
        model: str,
        *,
        feature_repo: Path,
        redis: str | None = None,
        config: ServerConfig | None = None,
        forward: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
        startup_s: float = 180.0,
    ) -> None:
        self.repository = repository
        self.model = model
        self.feature_repo = feature_repo
        self._redis = redis
        self.config = config or ServerConfig()
        self.release = ""
        self._forward = forward or _to_stderr
        self._cancelled = cancelled or threading.Event()
        self._startup_s = startup_s
        self._started: TritonProcess | None = None
        self._guards: list[Watchdog | HangCheck | InstanceCheck] = []

    @property
    def grpc_url(self) -> str:
        return self._triton.ports.grpc_url

    @property
    def http_url(self) -> str:
        return self._triton.ports.http_url

    @property
    def metrics_url(self) -> str:
        return self._triton.ports.metrics_url

    @property
    def pid(self) -> int:
        """Process id of tritonserver."""
        return self._triton.pid

    def start(self) -> None:
        """Start the server and return when the model has answered a request.

        Raises:
            ServerError: if it runs already, or the runtime, the repository, a port or the model does not allow it;
                then nothing keeps running.
        """
        if self._started is not None:
            raise ServerError(f"already running at {self.grpc_url}; stop it first")
        model_config = with_instances(config_file(self.repository, self.model), instance_count(self.config.instances))
        runtime = assemble_runtime()
        check_backends(self.repository, self.model, runtime.backends)
        self._started = self._process(ensemble=model_config is None)
        try:
            self._started.start(runtime)
            self._await_answer(model_config)
        except BaseException:
            self.stop()
            raise
        guard = ModelControl(self.grpc_url, self.model, _PROBE_S)
        self._guards = [Watchdog(self.pid, self._reload), HangCheck(self.pid, guard.probe, guard.answered)]
        if model_config is not None:  # an ensemble has no instances
            count = instance_count(self.config.instances)
            self._guards.append(InstanceCheck(count, guard.instances, self._load_again))
        for started in self._guards:
            started.start()

    def wait(self, stop: threading.Event) -> None:
        """Return when ``stop`` is set.

        Raises:
            ServerError: if the server ends by itself.
        """
        while not stop.wait(0.2):
            self._triton.check_alive()

    def stop(self) -> None:
        """End the server and its stubs, and remove their shared memory; nothing happens if it does not run."""
        for guard in self._guards:
            guard.stop()
        if self._started is not None:
            self._started.stop()
        self._guards, self._started = [], None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def _triton(self) -> TritonProcess:
        if self._started is None:
            raise ServerError("the server does not run")
        return self._started

    def _process(self, *, ensemble: bool) -> TritonProcess:
        arguments = ["--rate-limit=execution_count"]
        if ensemble:
            # One more than there are cores: a step that hands its answers over still holds one, but does not use it.
            arguments.append(f"--rate-limit-resource={CORE}:{instance_count(self.config.instances) + 1}")
        redis = {} if self._redis is None else {REDIS_VARIABLE: self._redis}
        return TritonProcess(
            self.repository,
            self.config,
            arguments=arguments,
            environment={"CASCADE_FEATURE_REPO": str(self.feature_repo.absolute()), **redis, **_ONE_THREAD},
            forward=self._forward,
            cancelled=self._cancelled,
            startup_s=self._startup_s,
        )

    def _await_answer(self, model_config: str | None) -> None:
        """Load the model and have it answer a probe."""
        what = f"model {self.model!r}"
        with ModelControl(self.grpc_url, self.model, timeout=self._startup_s) as control:
            self._triton.wait_until(control.live, what)
            loaded = _in_background(lambda: control.load(model_config, self._startup_s))
            self._triton.wait_until(loaded.done, what)
            loaded.result()
            self.release = control.probe()

    def _load_again(self) -> None:
        """Load the model as it lies in the repository now, with its instances."""
        own = with_instances(config_file(self.repository, self.model), instance_count(self.config.instances))
        with ModelControl(self.grpc_url, self.model, timeout=self._startup_s) as control:
            control.load(own, self._startup_s)

    def _reload(self, model: str) -> None:
        """Reload ``model``, which is the served one or a step of it, and have the served one answer a probe."""
        with ModelControl(self.grpc_url, model, timeout=self._startup_s) as control:
            control.reload(self._startup_s)
        with ModelControl(self.grpc_url, self.model, timeout=self._startup_s) as control:
            control.probe()


def _in_background(call: Callable[[], None]) -> Future[None]:
    """``call`` in a daemon thread, so that giving up need not wait for it."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            call()
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="cascade-load", daemon=True).start()
    return future


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
