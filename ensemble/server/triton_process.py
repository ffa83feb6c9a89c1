"""Starts tritonserver, waits for it, and stops it together with everything that it started."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ...core.errors import CrashError, ServerError
from ...core.processes import LEAN_HEAP, adopt_orphans, end_group, end_with_parent
from ..config import ServerConfig
from ..gateway.settings import HTTP_SOCKET, METRICS_SOCKET
from ..protocol.pulse import PULSE_FILES
from . import shared_memory
from .control_key import hide, key_arguments, new_key
from .log import ServerLog
from .plain_path import plain_path
from .ports import Ports, claim_ports
from .runtime import Runtime, assemble_runtime
from .start_gate import StartGate

_log = logging.getLogger("cascade.serve")

_TELL_S = 15.0
_LISTEN_S = 1.0
"""Seconds in which a standby has to open its ports."""


class TritonProcess:
    """A tritonserver in explicit model control: it loads the models that ``arguments`` or a client name.

    The thread that starts it must live as long as the server, see `end_with_parent`.

    Args:
        repository: the model repository.
        config: where to listen.
        arguments: further arguments of tritonserver.
        control_key: the key without which tritonserver refuses control calls; a new one by default.
        sockets: folder for the Unix sockets on which it answers HTTP and serves its metrics; without one it does
            neither.
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
        control_key: str | None = None,
        sockets: Path | None = None,
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
        self.control_key = control_key or new_key()
        self._socket_folder = sockets
        self._regions = shared_memory.new_prefix()
        self._process: subprocess.Popen[str] | None = None
        self._ports: Ports | None = None
        self._gate: StartGate | None = None

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

    @property
    def pulses(self) -> str:
        """How the files begin in which its python models write their pulses, with their folder."""
        return str(shared_memory.FOLDER / f"{self._regions}pulse_")

    def start(self, runtime: Runtime | None = None, ports: Ports | None = None, *, standby: bool = False) -> None:
        """Start the process; ``wait_until`` waits for its models.

        Args:
            ports: where to listen, instead of the configured ports.
            standby: another server has these ports now. The process loads its models and then waits for ``listen``.

        Raises:
            ServerError: if a part of the runtime is missing or a port is taken.
        """
        runtime = runtime or assemble_runtime()
        self._within_s, self._deadline = self._startup_s, time.monotonic() + self._startup_s
        self._ports = ports or claim_ports(self._config)
        self._gate = StartGate() if standby else None
        shared_memory.claim(self._regions)
        adopt_orphans(True)
        self._process = subprocess.Popen(
            [*end_with_parent(any_thread=ports is not None), *self._command(runtime, self._ports)],
            cwd=self._folder,
            env={**LEAN_HEAP, **runtime.environment(), PULSE_FILES: self.pulses, **self._environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self._log = ServerLog(self._process.stdout, self._forward)
        self._hide_key()

    def _hide_key(self) -> None:
        """Wait for the first line of the log, before which Triton has read its arguments, then hide the key in them."""
        while not self._log.begun.wait(0.05):
            if self._cancelled.is_set() or time.monotonic() > self._deadline:
                return
        if self._running.poll() is None:
            hide(self.pid, self.control_key)

    def listen(self, within_s: float) -> None:
        """Open the ports of a standby, which must be free by now; `wait_until` then waits for at most ``within_s``.

        Raises:
            ServerError: if it does not listen soon. That takes milliseconds, so it will not do so later either.
        """
        if self._gate is not None:
            self._gate.open()
        self._within_s, self._deadline = _LISTEN_S, time.monotonic() + _LISTEN_S
        self.wait_until(self.ports.grpc_is_open, "the gRPC port", "open")
        self._within_s, self._deadline = within_s, time.monotonic() + within_s

    def wait_until(self, done: Callable[[], bool], what: str, verb: str = "load") -> None:
        """Wait until ``done()``, asked twenty times a second.

        Args:
            what: what is being loaded, for the error message.
            verb: what it has to do, for the error message.

        Raises:
            CrashError: if the server takes too long: it may be in time on a machine that is less busy.
            ServerError: if it ends, or is cancelled.
        """
        told = time.monotonic()
        while not done():
            self.check_alive()
            if (now := time.monotonic()) - told > _TELL_S:
                told = now
                _log.warning(
                    "%s is still being loaded, for at most %.0f s more; the first start on a machine compiles code",
                    what,
                    self._deadline - now,
                )
            if now > self._deadline:
                raise CrashError(f"{what} did not {verb} in {self._within_s:.0f} s; the log says: {self._log.cause()}")
            if self._cancelled.wait(0.05):
                raise ServerError("stopped while starting")

    def check_alive(self) -> None:
        """Raise ServerError with the cause from the log if the server has ended."""
        if (cause := self.end_cause()) is not None:
            raise ServerError(cause)

    def end_cause(self) -> str | None:
        """How the server has ended, with the cause from its log; None while it runs."""
        process = self._process
        if process is None:
            return "the server does not run"
        if (code := process.poll()) is None:
            return None
        end_group(process, 0)  # its stubs would keep the log open
        self._log.join()
        if code == -signal.SIGKILL:  # its log does not know why
            return "tritonserver was ended by SIGKILL"
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"tritonserver {how}: {self._log.cause()}"

    def stop(self, grace_s: float | None = None) -> None:
        """End the server and its stubs, and remove their shared memory; nothing happens if it does not run.

        Args:
            grace_s: seconds that requests in flight have; by default those of the constructor.
        """
        process, self._process = self._process, None
        if process is not None:
            end_group(process, self._grace_s + 1 if grace_s is None else grace_s)
            adopt_orphans(False)
            self._log.join()
        if self._gate is not None:
            self._gate.remove()
        shared_memory.remove_all(self._regions)

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise ServerError("the server does not run")
        return self._process

    @property
    def sockets_are_there(self) -> bool:
        """Whether the Unix sockets of a server that has started still have their names."""
        return self._socket_folder is None or (self._socket_folder / HTTP_SOCKET).exists()

    def _sockets(self) -> list[str]:
        """Where tritonserver answers HTTP: for the gateway alone, which checks what clients send."""
        if self._socket_folder is None:
            return ["--allow-http=false", "--allow-metrics=false"]
        http, metrics = self._socket_folder / HTTP_SOCKET, self._socket_folder / METRICS_SOCKET
        return [f"--http-address=unix:{http}", f"--metrics-address=unix:{metrics}"]

    def _command(self, runtime: Runtime, ports: Ports) -> list[str]:
        command = [
            str(runtime.server),
            f"--backend-directory={plain_path(runtime.backends)}",
            f"--model-repository={plain_path(self._repository)}",
            "--model-control-mode=explicit",
            "--disable-auto-complete-config",
            f"--backend-config=python,shm-region-prefix-name={self._regions}",
            f"--exit-timeout-secs={self._grace_s}",
            *ports.arguments(),
            *self._sockets(),
            *key_arguments(self.control_key),
            *self._arguments,
            *(self._gate.arguments() if self._gate else []),
        ]
        return command if Path("/dev/nvidiactl").exists() else [*command, "--allow-gpu-metrics=false"]
