"""One life of tritonserver: started with the live models, watched, and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

from ...core.errors import ServerError
from ...core.processes import is_stopped_or_gone, state_of
from ..protocol.pulse import Pulse
from . import start_gate
from .live_models import LiveModels
from .model_control import ModelControl
from .ports import Ports
from .prober import Prober
from .runtime import Runtime
from .stubs import Instance, find_instances, running_stubs
from .triton_process import TritonProcess
from .watchdog import Watchdog

_PROBE_S = 2.0
"""Seconds that a probe may take."""
_TAKE_OVER_S = 10.0
"""Seconds in which a standby has to answer; most take a tenth of one. After that the server is started from cold."""


class Session:
    """A tritonserver with its watchdog and its prober.

    Args:
        process: not yet started.
        live: the models in its repository.
        startup_s: seconds that loading a model may take.
        loading: held while models are loaded.
        generation: that of the releases which a standby's processes have to hold, see `Serving`.
    """

    def __init__(
        self,
        process: TritonProcess,
        live: LiveModels,
        startup_s: float,
        loading: threading.Lock,
        generation: Callable[[], int] = lambda: 0,
    ) -> None:
        self.process, self._live, self._startup_s, self._loading = process, live, startup_s, loading
        self._generation = generation
        self.release = ""
        self.watchdog: Watchdog | None = None
        self._prober: Prober | None = None
        self._stopped, self._pid = 0, 0
        self._configs: dict[str, str] = {}
        self._instances: dict[int, Instance] = {}
        self._expected: set[str] = set()
        self.is_warm = False
        """Whether the standby was warm when its supervisor looked last."""

    def start(self, runtime: Runtime, ports: Ports | None) -> None:
        """Start the server, and return when the model has answered.

        Raises:
            ServerError: if it cannot be started or the model does not load.
        """
        self.process.start(runtime, ports)
        self._pid = self.process.pid
        self._watch(self._startup_s)

    def start_standby(self, runtime: Runtime, ports: Ports) -> None:
        """Start the server beside the one that has the ports now; it loads its models and waits for `take_over`.

        Raises:
            ServerError: if it cannot be started.
        """
        if not self._loading.acquire(blocking=False):
            raise ServerError("models are being loaded")
        try:
            self._configs = self._live.configs()
            self.process.start(runtime, ports, standby=True)
        finally:
            self._loading.release()
        self._expected = self._live.groups_of(self._configs)
        self._pid = self.process.pid

    def standby_fault(self) -> str | None:
        """Why the standby has to be replaced; None if it is warm or still starts."""
        if (fault := self.fault()) is not None:
            return fault
        was_warm = self.is_warm
        self.is_warm = self.warm()
        return "a process of it does not run" if was_warm and not self.is_warm else None

    def warm(self) -> bool:
        """Whether the standby could take over at once: every instance is loaded and runs."""
        self._instances, least = find_instances(self.process.pulses, self._instances), self._generation()
        found = {one.group for one in self._instances.values() if one.begun_well() and one.pulse.generation >= least}
        stubs = [stub.pid for stub in running_stubs(self._pid)]  # with that of the start gate
        gate = len(stubs) > len(found)
        return found == self._expected and gate and not any(map(is_stopped_or_gone, (self._pid, *stubs)))

    def take_over(self) -> None:
        """Let the standby listen on the ports, which must be free by now, and return when its model has answered.

        Raises:
            ServerError: if it does not.
        """
        with self._loading:
            self._live.restore(self._configs)
        self.process.listen(_TAKE_OVER_S)
        self._watch(_TAKE_OVER_S)
        with suppress(ServerError), self.control(start_gate.NAME, _PROBE_S) as control:
            control.unload()

    def _watch(self, answer_s: float) -> None:
        """Wait at most ``answer_s`` seconds until the model answers, then watch it."""
        model = self._live.model
        with self.control(model, _PROBE_S) as control:
            self.process.wait_until(control.live, f"model {model!r}")
        self.process.wait_until(lambda: self.process.sockets_are_there, "its HTTP endpoint", "open")  # after gRPC's
        with self.control(model, answer_s) as control:
            self.release = control.probe()
        dog = Watchdog(self.process.pid, self.process.pulses, self._live, self.load, self._loading)
        self.watchdog = dog
        self._prober = Prober(self.control(model, _PROBE_S), dog.load_again)
        self._prober.answered = True
        dog.start()
        self._prober.start()

    @property
    def pid(self) -> int:
        """Process id of tritonserver, also of one that has just ended.

        Raises:
            ServerError: if it has not been started yet.
        """
        if not self._pid:
            raise ServerError("the server is being started")
        return self._pid

    def control(self, model: str, timeout: float) -> ModelControl:
        """A connection that may operate the server."""
        return ModelControl(self.process.ports.grpc_url, model, timeout, control_key=self.process.control_key)

    def load(self, model: str) -> None:
        """Have Triton load a model as it lies in its repository.

        Raises:
            ServerError: if it cannot be loaded.
        """
        with self.control(model, self._startup_s) as control:
            control.load(timeout=self._startup_s)

    def probe(self) -> str:
        """Have the served model answer; returns the release that answered.

        Raises:
            ServerError: if it does not answer.
        """
        with self.control(self._live.model, self._startup_s) as control:
            return control.probe()

    def fault(self) -> str | None:
        """Why the server has to be started again; None if all is well."""
        if (cause := self.process.end_cause()) is not None:
            return cause
        self._stopped = self._stopped + 1 if state_of(self._pid) == "T" else 0
        if self._stopped > 1:
            return "tritonserver is stopped"
        if self._prober is not None and self._prober.hung:
            return "tritonserver does not answer"
        if self.watchdog is not None and self.watchdog.stuck and not self.watchdog.any_well:
            return "no process is left, and none can be replaced"  # another server needs no room on the disk
        if self._prober is not None and not self.process.sockets_are_there:
            return "the socket of tritonserver's HTTP endpoint was deleted"
        return None

    @property
    def replaced(self) -> int:
        """Model processes that were replaced."""
        return self.watchdog.healed if self.watchdog else 0

    def ready(self) -> bool:
        """Whether every instance is well and the model answers."""
        return self._answers(lambda dog: dog.complete)

    def answers(self) -> bool:
        """Whether at least one instance is well and the model answers."""
        return self._answers(lambda dog: dog.any_well)

    def _answers(self, well: Callable[[Watchdog], bool]) -> bool:
        prober, dog = self._prober, self.watchdog
        if prober is None or dog is None:
            return False
        return prober.answered and well(dog) and not is_stopped_or_gone(self._pid)

    def all_gone(self) -> bool:
        """Whether the models have several processes and none of them is left: replacing each takes longer than another
        server."""
        return self.watchdog is not None and len(self._live.models) > 1 and not self.watchdog.any_well

    def pulses(self) -> list[Pulse]:
        """The last pulses of the model processes that are loaded."""
        return self.watchdog.pulses if self.watchdog else []

    def pids(self) -> list[int]:
        """The processes without which nobody answers."""
        return [self._pid, *(self.watchdog.pids if self.watchdog else [])]

    def stop(self, grace_s: float | None = None) -> None:
        """End everything; nothing happens if it does not run. It can be called from several threads.

        Args:
            grace_s: seconds that requests in flight have; 0 for a server that does not work.
        """
        if self._prober is not None:
            self._prober.stop()
        if self.watchdog is not None:
            self.watchdog.stop()
        self.process.stop(grace_s)
