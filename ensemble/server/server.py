"""A served model: Triton with one exported release, watched and healed until it is stopped."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from ...core.errors import CascadeError, CrashError, ServerError
from ...core.files import OwnedFolder, owned_folder
from ...workflows.features.online import REDIS_VARIABLE
from ..config import ServerConfig
from ..gateway.parent_metrics import parent_metrics
from ..gateway.process import GatewayProcess
from ..gateway.settings import HTTP_SOCKET, MEGABYTE, METRICS_SOCKET, ParentState, Settings
from ..protocol.call_errors import one_line
from ..protocol.config_file import read_config
from ..protocol.pulse import Pulse
from ..protocol.serving_file import SERVING_FILE, Beside
from ..protocol.skew_rows import SkewSettings, skew_folder
from ..repository.step_config import CORE
from . import shared_memory
from .control_key import new_key
from .live_models import LiveModels
from .plain_path import plain_path
from .ports import Ports, claim_ports
from .release_loader import ReleaseLoader
from .releases.reload_record import ReloadRecord
from .releases.switch import ReleaseSwitch
from .runtime import Runtime, assemble_runtime
from .served_model import check_backends, config_file, instance_count, names_of
from .session import Session
from .status import ServerStatus
from .supervisor import Restarts, Supervisor
from .triton_process import TritonProcess

_log = logging.getLogger("cascade.serve")

_STATUS_S = 1.0
_LET_LOAD_S = 1.0
"""Seconds that a load which is under way has when the server is to stop; one that takes longer ends with the server."""
_GRACE_S, _GRACE_OF_ARMS_S = 5, 1
"""Seconds that requests in flight have when a server stops. Nobody asks an arm any more by then."""
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""Throughput comes from instances; more threads than one in each of them would compete for the cores."""


class TritonServer:
    """A running tritonserver with one model. Use as a context manager.

    It serves a private copy of the release that was published when it was started or last reloaded. A model process
    that dies, is stopped or hangs is replaced, and so is tritonserver itself (``config.restart``).

    Args:
        repository: the exported model repository.
        model: name of the model to serve.
        feature_repo: the Feast repository that the model's lookups read.
        redis: connection string of its online store, with the password that no release holds; None to take the one of
            the environment or of the release.
        config: ports and instances.
        forward: takes each line of the server's log; written to stderr by default.
        cancelled: set it to give up while the server starts.
        startup_s: seconds until the model must have answered a probe request; default: the config's.
        takes_hangup: whether the program calls `reload` when it gets SIGHUP, so that `cascade reload` may send it.
        first: the model repository with the release to start with; by default ``repository``.
        clients: whether it answers HTTP and metrics as well as gRPC.
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
        startup_s: float | None = None,
        takes_hangup: bool = False,
        first: Path | None = None,
        clients: bool = True,
    ) -> None:
        self._first, self._clients, self._created = first, clients, time.time()
        self.repository = repository
        self.model = model
        self.feature_repo = feature_repo
        self.redis = redis
        self.config = config or ServerConfig()
        self.live_set_changes: Mapping[str, int] = {}
        """Number of changes of the live set for each action, where a live set is followed."""
        self._forward = forward or _to_stderr
        self._cancelled = cancelled or threading.Event()
        self._startup_s = startup_s or self.config.startup_timeout_s
        self._gateway: GatewayProcess | None = None
        self._private: OwnedFolder | None = None
        self._kept_port: socket.socket | None = None
        self.control_key = new_key()
        """What Triton wants for control calls, see `ModelControl`."""
        self._takes_hangup = takes_hangup
        self._supervisor: Supervisor | None = None
        checked = self.config.check_files_mb * MEGABYTE
        self._live = LiveModels(repository, model, instance_count(self.config.instances), checked)
        self._loader: ReleaseLoader | None = None
        self._loading, self._writing = threading.Lock(), threading.Lock()
        self._reload_record = ReloadRecord()
        self._draining = False
        self._files, self._urls, self._arm_states = "", ("", ""), dict[str, str]()
        self._status, self._status_at = ServerStatus(), 0.0
        self.status_file = Path()
        """Where other processes read how the server is, see `ServerStatus`."""

    @property
    def release(self) -> str:
        """Id of the release that answers."""
        return self._loader.release if self._loader is not None else ""

    @property
    def grpc_url(self) -> str:
        return self._session.process.ports.grpc_url

    @property
    def http_url(self) -> str:
        return self._session.process.ports.http_url

    @property
    def metrics_url(self) -> str:
        return self._session.process.ports.metrics_url

    @property
    def pid(self) -> int:
        """Process id of tritonserver. It changes when tritonserver is started again."""
        return self._session.pid

    @property
    def gateway_pid(self) -> int:
        """Process id of the HTTP gateway."""
        if self._gateway is None:
            raise ServerError("the server does not run")
        return self._gateway.pid

    def start(self) -> None:
        """Start the server and return when the model has answered a request.

        Raises:
            ServerError: if it runs already, or the runtime, the repository, a port or the model does not allow it;
                then nothing keeps running.
        """
        if self._supervisor is not None:
            raise ServerError(f"already running at {self.grpc_url}; stop it first")
        source = self._first or self.repository
        config_file(source, self.model)
        runtime = assemble_runtime()
        check_backends(source, self.model, runtime.backends)
        self._private = owned_folder("sockets")
        ports = claim_ports(self.config)
        try:
            self._kept_port = ports.keep()
            self._files = shared_memory.new_prefix()
            shared_memory.claim(self._files)
            self.status_file = shared_memory.FOLDER / f"{self._files}status"
            self._live.take(self.status_file, self._takes_hangup, source)
            loader = self._loader = self._new_loader()
            gateway = self._gateway = self._start_gateway(ports) if self._clients else None
            first = self._new_session()
            try:
                first.start(runtime, ports)
                if gateway is not None:
                    first.process.wait_until(gateway.answers, "the HTTP gateway")
            except BaseException:
                first.stop()
                raise
        except BaseException:
            self.stop()
            raise
        loader.release, self._urls = first.release, (ports.metrics_url if self._clients else "", ports.grpc_url)
        again = partial(self._start_again, runtime, ports)
        self._supervisor = Supervisor(
            first,
            again,
            Restarts(self.config),
            self._write_status,
            partial(self._new_standby, runtime, ports) if self._has_standby else None,
            self._remove_sockets,
        )
        self._write_status()
        self._supervisor.start()
        try:
            if gateway is not None:
                self._wait_until(gateway.says_ready, "the HTTP gateway")
        except BaseException:
            self.stop()
            raise

    def _wait_until(self, done: Callable[[], bool], what: str) -> None:
        """Wait until ``done()``, also if tritonserver is started again meanwhile.

        Raises:
            CrashError: if it takes too long, or tritonserver is not started again.
            ServerError: if it is cancelled.
        """
        deadline = time.monotonic() + self._startup_s
        while not done():
            if self._supervisor is not None and self._supervisor.crash is not None:
                raise self._supervisor.crash
            if time.monotonic() > deadline:
                raise CrashError(f"{what} was not ready in {self._startup_s:.0f} s")
            if self._cancelled.wait(0.05):
                raise ServerError("stopped while starting")

    def ready(self) -> bool:
        """Whether every configured instance is well and the model has answered its last probe. While another release is
        loaded, it is enough that one instance of the release before is."""
        if self._supervisor is None or self._draining:
            return False
        session = self._supervisor.session
        return session.ready() or (self._releases.replacing and session.answers())

    def answers(self) -> bool:
        """Whether at least one instance is well and the model has answered its last probe."""
        return self._supervisor is not None and self._supervisor.session.answers()

    def drain(self, stop: threading.Event) -> None:
        """Go on answering for `ServerConfig.drain_s` seconds, but be not ready, so that load balancers turn away.

        Args:
            stop: set it to end this early.
        """
        self._draining = True
        stop.wait(self.config.drain_s)

    @property
    def _has_standby(self) -> bool:
        return self.config.standby and self.config.restart == "on_failure"

    def standby_ready(self) -> bool:
        """Whether a standby is warm, so that it can take over; false where ``server.standby`` is off."""
        standby = self._supervisor.standby if self._supervisor is not None else None
        return standby is not None and standby.is_warm

    def counts(self) -> dict[str, int]:
        """What has happened since the start: restarts of tritonserver, replaced instances, reloads and failed ones."""
        supervisor = self._supervisor
        return {
            "server_restarts": supervisor.restarted if supervisor else 0,
            "replaced_instances": supervisor.replaced if supervisor else 0,
            **self._reload_record.counts,
        }

    def reload(self, repository: Path | None = None) -> None:
        """Have the release that is published now answer. If that fails, what was live before goes on.

        A release with the inputs and outputs of the one before is loaded by the processes that run, and the one before
        stays loaded, so that it can answer again at once. Another one gets new processes.

        Args:
            repository: another model repository to take the release from.

        Raises:
            ServerError: if it cannot be copied, is not loaded, or does not answer; if no process answers just now, and
                it was not loaded before (else those that are started next answer with it).
        """
        try:
            self._releases.reload(repository or self.repository)
        finally:
            self._write_status()

    def keep(self, repository: Path) -> None:
        """Have the release that lies in a model repository loaded, so that it can answer at once.

        Raises:
            ServerError: if it cannot be loaded, or has other inputs or outputs than the one that answers.
        """
        self._releases.keep(repository)

    def answers_alike(self, repository: Path) -> bool:
        """Whether the release that lies in a model repository has the inputs, outputs and stages of the one that
        answers, so that a server of its own can answer some of the users with it."""
        return self._releases.answers_alike(repository)

    def ask_beside(self, beside: Beside, states: Mapping[str, str]) -> None:
        """Have other servers answer some of the users, or be asked as shadows.

        Args:
            states: what the status says of each, see `ServerStatus.arms`.
        """
        self._releases.ask_beside(beside)
        self._arm_states = dict(states)

    def followed(self, generation: int, fault: str = "") -> None:
        """Say in the status that this generation of the live set has been followed; or, with a fault, why not."""
        self._reload_record.followed = (generation, fault)
        self._write_status()

    def wait(
        self,
        stop: threading.Event,
        reload: threading.Event | None = None,
        alive: Callable[[], None] | None = None,
        load: Callable[[], None] | None = None,
    ) -> None:
        """Return when ``stop`` is set.

        Args:
            reload: set it to have what is published loaded; an error is logged.
            load: what to do for that; by default `reload`.
            alive: called ten times a second, also while a release is loaded.

        Raises:
            CrashError: if the server ends by itself and is not started again.
        """
        loading: threading.Thread | None = None
        try:
            while not stop.wait(0.1):
                if alive is not None:
                    alive()
                if self._supervisor is None:
                    raise ServerError("the server does not run")
                if self._supervisor.crash is not None:
                    raise self._supervisor.crash
                if reload is not None and reload.is_set() and (loading is None or not loading.is_alive()):
                    reload.clear()
                    loading = threading.Thread(
                        target=self._try_reload, args=(load or self.reload,), name="cascade-reload", daemon=True
                    )
                    loading.start()
        finally:
            if loading is not None:
                loading.join(_LET_LOAD_S)

    def stop(self) -> None:
        """End the server and its stubs, and remove their shared memory; nothing happens if it does not run."""
        if self._gateway is not None:
            self._gateway.stop()
        if self._supervisor is not None:
            self._supervisor.stop()
            self._supervisor = None
        if self._files:
            shared_memory.remove_all(self._files)
        self._live.remove()
        if self._private is not None:
            self._private.remove()
        if self._kept_port is not None:
            self._kept_port.close()
        self._gateway, self._private, self._kept_port = None, None, None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise ServerError("the server does not run")
        return self._supervisor

    @property
    def _session(self) -> Session:
        return self._running.session

    def _new_session(self) -> Session:
        ensemble = bool(names_of(read_config(config_file(self._live.repository, self.model))))
        process = self._process(ensemble=ensemble)
        return Session(process, self._live, self._startup_s, self._loading, lambda: self._releases.generation)

    def _start_again(self, runtime: Runtime, ports: Ports, adopt: Callable[[Session], None]) -> Session:
        with self._loading:
            self._leave_one()
            session = self._new_session()
            adopt(session)
            self._remove_sockets()
            session.start(runtime, ports)
        return session

    def _leave_one(self) -> None:
        """Have one process of each model started, which is sooner than all; the watchdog adds the others."""
        try:
            self._live.leave_one()
        except OSError as error:
            _log.warning("all processes are started together: %s", one_line(error))

    def _new_standby(self, runtime: Runtime, ports: Ports) -> Session:
        session = self._new_session()
        session.start_standby(runtime, ports)
        return session

    def _remove_sockets(self) -> None:
        """A server that is killed leaves them, and the next one could not listen on them. Makes their folder again."""
        if self._sockets is not None:
            self._sockets.mkdir(mode=0o700, exist_ok=True)
            for name in (HTTP_SOCKET, METRICS_SOCKET):
                (self._sockets / name).unlink(missing_ok=True)

    def _new_loader(self) -> ReleaseLoader:
        checked = self.config.check_files_mb * MEGABYTE
        switch = ReleaseSwitch(self.model, self._live.serving_file, self._pulses, checked, self._startup_s)
        switch.begin(self._live.release)
        return ReleaseLoader(self.model, self._live, switch, lambda: self._running, self._loading, self._reload_record)

    def _pulses(self) -> list[Pulse]:
        """Those of the session that answers now; a takeover changes it."""
        return self._session.pulses()

    @property
    def _releases(self) -> ReleaseLoader:
        if self._loader is None:
            raise ServerError("the server does not run")
        return self._loader

    def _try_reload(self, load: Callable[[], None]) -> None:
        try:
            load()
            _log.warning("release %s is live", self.release)
        except CascadeError as error:
            _log.error("reload failed, release %s stays live: %s", self.release, one_line(error))

    def _write_status(self) -> None:
        """Say how the server is: at once if that has changed, and else every second."""
        session, now = self._session, time.monotonic()
        record = self._reload_record
        how = (self.counts(), session.pids(), record.error, *record.followed, self._arm_states, *self._urls)
        status = ServerStatus(self.ready(), self.release, *how)
        if status != self._status or now - self._status_at > _STATUS_S:
            with self._writing, suppress(OSError):  # /dev/shm is full; readers take an old status for not ready
                status.write(self.status_file)
            self._status, self._status_at = status, now

    def _gateway_state(self) -> ParentState:
        """What the HTTP gateway is told several times a second: whether the model answers, and further metrics."""
        counts = {**self.counts(), "gateway_restarts": self._gateway.restarts if self._gateway else 0}
        return ParentState(self.ready(), parent_metrics(counts, self._created, self.live_set_changes))

    @property
    def _sockets(self) -> Path | None:
        """The folder of Triton's Unix sockets, which no other user can open; None if the server does not run."""
        return self._private.path if self._private is not None else None

    def _start_gateway(self, ports: Ports) -> GatewayProcess:
        limits = self.config.gateway
        settings = Settings(
            sockets=str(self._sockets),
            control_key=self.control_key,
            max_body_bytes=limits.max_body_mb * MEGABYTE,
            max_connections=limits.max_connections,
            request_timeout_s=limits.request_timeout_s,
            idle_timeout_s=limits.idle_timeout_s,
            shared_memory=self.config.shared_memory,
        )
        gateway = GatewayProcess(settings, ports.of_gateway(), self._gateway_state)
        gateway.start()
        return gateway

    def _process(self, *, ensemble: bool) -> TritonProcess:
        arguments = ["--rate-limit=execution_count", f"--load-model={self.model}"]
        if ensemble:
            # One more than there are cores: a step that hands its answers over still holds one, but does not use it.
            arguments.append(f"--rate-limit-resource={CORE}:{instance_count(self.config.instances) + 1}")
        redis = {} if self.redis is None else {REDIS_VARIABLE: self.redis}
        wanted, folder = self.config.skew_sample, skew_folder(self.repository, self.model)
        skew = SkewSettings(str(folder.absolute()), wanted.share, wanted.requests).environment()
        return TritonProcess(
            self._live.repository,
            self.config,
            arguments=arguments,
            control_key=self.control_key,
            sockets=self._sockets,
            environment={
                "CASCADE_FEATURE_REPO": str(plain_path(self.feature_repo)),
                SERVING_FILE: str(self._live.serving_file),
                **redis,
                **skew,
                **_ONE_THREAD,
            },
            forward=self._forward,
            cancelled=self._cancelled,
            startup_s=self._startup_s,
            grace_s=_GRACE_S if self._clients else _GRACE_OF_ARMS_S,
        )


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
