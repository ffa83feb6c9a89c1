"""tritonserver on an exported model repository, from start to a stop that leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from ...core.errors import CascadeError, ServerError
from ..client import Client
from ..config import ServerConfig
from ..repository.step_config import CORE
from .backend_check import check_backends
from .hang_check import HangCheck
from .instances import instance_count, with_instances
from .log import ServerLog
from .ports import claim_ports
from .processes import adopt_orphans, dying_with_us, end_group
from .runtime import assemble_runtime
from .watchdog import SHARED_MEMORY, Watchdog

_GRACE_S = 5
"""How long requests in flight may take when the server is told to stop. A dead stub makes Triton wait all of it."""
_PROBE_S = 10
"""How long a probe may take before it counts as not answered."""


class Server:
    """A running tritonserver with one model, healed when its stub dies. Use as a context manager.

    Args:
        repository: the exported model repository.
        model: name of the model to serve.
        feature_repo: the Feast repository that the model's lookups read.
        forward: takes each line of the server's log.
        cancelled: set it to give up while the server starts.
        startup_s: seconds until the model must have answered a probe request.
    """

    def __init__(
        self,
        repository: Path,
        model: str,
        *,
        feature_repo: Path,
        config: ServerConfig | None = None,
        forward: Callable[[str], None] | None = None,
        cancelled: threading.Event | None = None,
        startup_s: float = 180.0,
    ) -> None:
        self.repository = repository
        self.model = model
        self.feature_repo = feature_repo
        self.config = config or ServerConfig()
        self.release = ""
        self._forward = forward or _to_stderr
        self._cancelled = cancelled or threading.Event()
        self._startup_s = startup_s
        self._region_prefix = f"cascade_{os.getpid()}_{secrets.token_hex(4)}_"
        self._process: subprocess.Popen[str] | None = None
        self._guards: list[Watchdog | HangCheck] = []

    @property
    def grpc_url(self) -> str:
        return f"{_reachable(self.config.host)}:{self.ports.grpc}"

    @property
    def http_url(self) -> str:
        return f"http://{_reachable(self.config.host)}:{self.ports.http}"

    @property
    def metrics_url(self) -> str:
        return f"http://{_reachable(self.config.host)}:{self.ports.metrics}/metrics"

    @property
    def pid(self) -> int:
        """Process id of tritonserver."""
        return self._running.pid

    def start(self) -> None:
        """Start the server and return when the model has answered a request.

        Raises:
            ServerError: if the runtime, the repository, a port or the model is not as it must be; nothing is left.
        """
        model_config = self._model_config()
        self._ensemble = model_config is None
        runtime = assemble_runtime()
        check_backends(self.repository, self.model, runtime.backends)
        self._deadline = time.monotonic() + self._startup_s
        self.ports = claim_ports(self.config)
        environment = runtime.environment() | self._environment()
        adopt_orphans(True)
        self._process = subprocess.Popen(
            [*dying_with_us(), str(runtime.server), f"--backend-directory={runtime.backends}", *self._arguments()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._log = ServerLog(self._process.stdout, self._forward)
        try:
            self._await_answer(model_config)
        except BaseException:
            self.stop()
            raise
        guard = Client(self.grpc_url, self.model, _PROBE_S)
        self._guards = [Watchdog(self.pid, self._load), HangCheck(self.pid, guard.probe, guard.answered)]
        for started in self._guards:
            started.start()

    def wait(self, stop: threading.Event) -> None:
        """Return when ``stop`` is set.

        Raises:
            ServerError: if the server ends by itself.
        """
        while not stop.wait(0.2):
            self._check_alive()

    def stop(self) -> None:
        """End the server, its stubs and what they keep in /dev/shm; nothing happens if it does not run."""
        for guard in self._guards:
            guard.stop()
        if self._process is not None:
            end_group(self._process, _GRACE_S + 1)
            adopt_orphans(False)
            self._log.join()
            self._process = None
        for region in SHARED_MEMORY.glob(f"{self._region_prefix}*"):
            region.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ServerError("the server does not run")
        return self._process

    def _model_config(self) -> str | None:
        """The model's config, with as many instances as it is to have; None: as it is.

        Raises:
            ServerError: if there is no such model.
        """
        config = self.repository / self.model / "config.pbtxt"
        if not config.is_file():
            advice = "`cascade run` exports it"
            raise ServerError(f"{self.repository}: holds no model {self.model!r} to serve; {advice}")
        return with_instances(config, instance_count(self.config.instances))

    def _environment(self) -> dict[str, str]:
        return {
            "CASCADE_FEATURE_REPO": str(self.feature_repo.absolute()),
            # One thread an instance: throughput comes from instances, and threads of a pool only get in their way.
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }

    def _arguments(self) -> list[str]:
        host, ports = self.config.host, self.ports
        arguments = [
            f"--model-repository={self.repository.absolute()}",
            "--model-control-mode=explicit",
            "--disable-auto-complete-config",
            "--rate-limit=execution_count",
            f"--backend-config=python,shm-region-prefix-name={self._region_prefix}",
            f"--exit-timeout-secs={_GRACE_S}",
            f"--http-address={host}",
            f"--http-port={ports.http}",
            f"--grpc-address={host}",
            f"--grpc-port={ports.grpc}",
            f"--metrics-address={host}",
            f"--metrics-port={ports.metrics}",
        ]
        if not Path("/dev/nvidiactl").exists():
            arguments.append("--allow-gpu-metrics=false")
        if self._ensemble:
            # One more than there are: a step that hands its answers over holds one, and runs on none.
            cores = instance_count(self.config.instances) + 1
            arguments.append(f"--rate-limit-resource={CORE}:{cores}")
        return arguments

    def _await_answer(self, model_config: str | None) -> None:
        """Load the model and have it answer a probe."""
        with Client(self.grpc_url, self.model, timeout=self._startup_s) as client:
            self._await(client.live)
            loaded = _in_background(lambda: client.load(model_config, self._startup_s))
            self._await(loaded.done)
            loaded.result()
            self.release = client.probe()

    def _await(self, happened: Callable[[], bool]) -> None:
        """Look every tenth of a second.

        Raises:
            ServerError: if the server ends, takes too long, or is to give up.
        """
        while not happened():
            self._check_alive()
            if time.monotonic() > self._deadline:
                raise ServerError(f"model {self.model!r} did not load in {self._startup_s:.0f} s; see the log")
            if self._cancelled.wait(0.1):
                raise ServerError("stopped while starting")

    def _check_alive(self) -> None:
        code = self._running.poll()
        if code is not None:
            self._log.join()
            raise ServerError(f"tritonserver ended with code {code}: {self._log.cause()}")

    def _load(self, model: str) -> None:
        """Load ``model`` again, the served one or a step of it, and have the served one answer."""
        with Client(self.grpc_url, model, timeout=self._startup_s) as client:
            client.reload(self._startup_s)
        with Client(self.grpc_url, self.model, timeout=self._startup_s) as client:
            client.probe()


def serve(config: ServerConfig, *, repository: Path, model: str, feature_repo: Path) -> None:
    """Serve until SIGINT or SIGTERM: one ready line on stdout, the server's log on stderr.

    Raises:
        ServerError: if the server cannot be started or ends by itself.
    """
    stop = threading.Event()
    with _stop_signals(stop):
        server = Server(repository, model, feature_repo=feature_repo, config=config, cancelled=stop)
        try:
            with server:
                print(
                    f"ready: model {model}, release {server.release}, grpc {server.grpc_url}, http {server.http_url}, "
                    f"metrics {server.metrics_url}",
                    flush=True,
                )
                server.wait(stop)
        except CascadeError:
            if not stop.is_set():
                raise


@contextlib.contextmanager
def _stop_signals(stop: threading.Event) -> Any:
    """SIGINT and SIGTERM set ``stop`` meanwhile."""
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_background(call: Callable[[], None]) -> Future[None]:
    """``call`` in a thread that nobody has to wait for."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            call()
            future.set_result(None)
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="cascade-load", daemon=True).start()
    return future


def _reachable(host: str) -> str:
    """Where a server that listens on every address is reached from here."""
    return "127.0.0.1" if host in ("0.0.0.0", "") else host


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
