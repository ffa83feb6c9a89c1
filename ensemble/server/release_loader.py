"""Has other releases answer in a server that runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from ...core.errors import ServerError
from ..protocol.serving_file import Beside
from .live_models import LiveModels
from .releases.reload_record import ReloadRecord
from .releases.switch import ReleaseSwitch, alike
from .runtime import assemble_runtime
from .served_model import check_backends, config_file
from .session import Session
from .supervisor import Supervisor

_SETTLE_S = 5.0
"""Seconds in which the watchdog sees all processes of a release that was loaded; most take a tenth of one."""


class ReleaseLoader:
    """The release that answers, and those that are loaded beside it.

    Args:
        model: its name.
        live: what processes are started with.
        switch: what the processes that run hold.
        supervisor: of the server, once it runs.
        loading: held while processes load a release.
        record: what became of each reload.
    """

    def __init__(
        self,
        model: str,
        live: LiveModels,
        switch: ReleaseSwitch,
        supervisor: Callable[[], Supervisor],
        loading: threading.Lock,
        record: ReloadRecord,
    ) -> None:
        self._model, self._live, self._switch, self._supervisor = model, live, switch, supervisor
        self._loading, self._changing, self._record = loading, threading.Lock(), record
        self.release = ""
        """Id of the one that answers."""
        self.replacing = False
        """Whether processes of another release are started in the place of those that answer."""

    @property
    def generation(self) -> int:
        """That of the last change of what the processes hold."""
        return self._switch.generation

    def reload(self, source: Path) -> None:
        """Have the release in a model repository answer; see `TritonServer.reload`."""
        with self._changing, self._record.counted(source):
            check_backends(source, self._model, assemble_runtime().backends)
            if not self._supervisor().session.answers():
                self._start_next_with(source)
            elif self._fits(source):
                self._switch.activate(self._switch.hold(source))
                self.release = self._switch.active
            else:
                self._replace(source)

    def keep(self, source: Path) -> None:
        """Have the release in a model repository loaded; see `TritonServer.keep`."""
        with self._changing:
            if not self._fits(source):
                raise ServerError(f"{source}: has other inputs or outputs than release {self.release}, which answers")
            self._switch.hold(source)

    def answers_alike(self, source: Path) -> bool:
        """See `TritonServer.answers_alike`."""
        return alike(config_file(source, self._model), self._live.full_config)

    def ask_beside(self, beside: Beside) -> None:
        """Have the processes ask these beside their own release."""
        self._switch.ask_beside(beside)

    def _fits(self, source: Path) -> bool:
        return self._switch.fits(source, self._live.full_config)

    def _start_next_with(self, source: Path) -> None:
        """While no process answers: have those that are started next answer with a release that they hold anyway.

        Raises:
            ServerError: if it is another release than the live one and the one before.
        """
        release = self._switch.restored(source)
        if release is None:
            raise ServerError(
                f"tritonserver does not answer just now, so nothing can be loaded; it is started again with release "
                f"{self.release}, see the log"
            )
        self.release = release

    def _replace(self, source: Path) -> None:
        """Have processes for the release in ``source`` take the place of those that run."""
        supervisor = self._supervisor()
        session = supervisor.session
        # The steps of an ensemble are loaded one after the other, and do not answer meanwhile.
        self.replacing = self._live.models == [self._model] and session.ready()
        try:
            with self._loading:
                self._live.replace(source, lambda: self._load_new(session), lambda: session.load(self._model))
                supervisor.renew_standby()
        finally:
            settled = time.monotonic() + _SETTLE_S
            while self.replacing and not session.ready() and time.monotonic() < settled:
                time.sleep(0.05)  # until the watchdog has seen the new processes
            self.replacing = False

    def _load_new(self, session: Session) -> None:
        with self._switch.replacing(self._live.release):
            session.load(self._model)
            if (answered := session.probe()) != self._live.release:
                raise ServerError(f"release {self._live.release} was loaded, but release {answered} answers")
            self.release = answered
