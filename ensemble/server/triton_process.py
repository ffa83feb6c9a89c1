"""Starts tritonserver, waits for it, and stops it together with everything that it started."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...core.errors import ServerError
from ...core.processes import adopt_orphans, end_group, end_with_parent
from ..config import ServerConfig
from . import shared_memory
from .log import ServerLog
from .ports import Ports, claim_ports
from .runtime import Runtime, assemble_runtime


class TritonProcess:
    """A tritonserver in explicit model control: it loads the models that ``arguments`` or a client name.

    Args:
        repository: the model repository.
        config: where to listen.
        arguments: further arguments of tritonserver.
        environment: variables beside those of this process.
        folder: working directory; this process's by default. Python models can import from it.
        forward: takes each line of the log that says something.
        cancelled: set it to give up while the server starts.
        startup_s: seconds that the start may take, with loading the models.
        grace_s: seconds that requests in flight have when the server stops. A dead stub makes Triton wait all of them.
    """

    def __init__(
        self,
        repository: Path,
        config: ServerConfig,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        forward: Callable[[str], None] = lambda line: None,
        cancelled: threading.Event | None = None,
        startup_s: float = 180.0,
        grace_s: int = 5,
    ) -> None:
        self._repository, self._config = repository, config
        self._arguments, self._environment, self._folder = tuple(arguments), dict(environment or {}), folder
        self._forward, self._cancelled = forward, cancelled or threading.Event()
        self._startup_s, self._grace_s = startup_s, grace_s
        self._regions = shared_memory.new_prefix()
        self._process: subprocess.Popen[str] | None = None
        self._ports: Ports | None = None

    @property
    def ports(self) -> Ports:
        """Where it listens, or has listened before it was stopped."""
        if self._ports is None:
            raise ServerError("the server does not run")
        return self._ports

    @property
    def pid(self) -> int:
        """Process id of tritonserver."""
        return self._running.pid

    def start(self, runtime: Runtime | None = None) -> None:
        """Start the process; ``wait_until`` waits for its models.

        Raises:
            ServerError: if a part of the runtime is missing or a port is taken.
        """
        runtime = runtime or assemble_runtime()
        self._deadline = time.monotonic() + self._startup_s
        self._ports = claim_ports(self._config)
        adopt_orphans(True)
        self._process = subprocess.Popen(
            [*end_with_parent(), *self._command(runtime, self._ports)],
            cwd=self._folder,
            env={**runtime.environment(), **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._log = ServerLog(self._process.stdout, self._forward)

    def wait_until(self, done: Callable[[], bool], what: str) -> None:
        """Wait until ``done()``, asked every tenth of a second.

        Args:
            what: what is being loaded, for the error message.

        Raises:
            ServerError: if the server ends, takes longer than ``startup_s``, or is cancelled.
        """
        while not done():
            self.check_alive()
            if time.monotonic() > self._deadline:
                raise ServerError(f"{what} did not load in {self._startup_s:.0f} s; the log says: {self._log.cause()}")
            if self._cancelled.wait(0.1):
                raise ServerError("stopped while starting")

    def check_alive(self) -> None:
        """Raise ServerError with the cause from the log if the server has ended."""
        code = self._running.poll()
        if code is not None:
            self._log.join()
            raise ServerError(f"tritonserver ended with code {code}: {self._log.cause()}")

    def stop(self) -> None:
        """End the server and its stubs, and remove their shared memory; nothing happens if it does not run."""
        if self._process is not None:
            end_group(self._process, self._grace_s + 1)
            adopt_orphans(False)
            self._log.join()
            self._process = None
        shared_memory.remove_all(self._regions)

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ServerError("the server does not run")
        return self._process

    def _command(self, runtime: Runtime, ports: Ports) -> list[str]:
        command = [
            str(runtime.server),
            f"--backend-directory={runtime.backends}",
            f"--model-repository={self._repository.absolute()}",
            "--model-control-mode=explicit",
            "--disable-auto-complete-config",
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
            f"--exit-timeout-secs={self._grace_s}",
            *ports.arguments(),
            *self._arguments,
        ]
        return command if Path("/dev/nvidiactl").exists() else [*command, "--allow-gpu-metrics=false"]
