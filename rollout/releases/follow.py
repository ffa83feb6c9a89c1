"""A running server follows the live set: the stable release answers, the previous one is kept loaded, and arms and
shadows have servers of their own."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final, Protocol, Self

from ...core.errors import CascadeError, ReleaseError, ServerError
from ...ensemble.protocol.call_errors import one_line
from ...ensemble.protocol.serving_file import ArmAddress, Beside
from ...ensemble.server.server import TritonServer
from .arm_servers import ArmServer, ArmServers
from .audit_log import Action
from .live_set import Arm, LiveSet, LiveSets
from .store import ReleaseStore
from .writer_lock import this_process

_log = logging.getLogger("cascade.serve")

_LET_LOAD_S = 1.0
"""Seconds that a load which is under way has when the server is to stop; one that takes longer ends with the server."""
TAKEN_BACK: Final = "taken back"
"""Action in the audit log of a server that goes back to the previous release by itself."""
ROLLBACKS = ("rollback", "put back", TAKEN_BACK)
"""Actions after which a release is not watched: it has answered before."""


def first_release(repository: Path, model: str) -> Path:
    """The model repository with the release to start with: that of the stable one, or else what is published.

    Raises:
        ReleaseError: the live set is damaged, edited or gone, or names a release that is not kept.
    """
    live = LiveSets(repository, model).checked()
    return repository if live is None else ReleaseStore(repository, model).folder(live.stable)


class Watch(Protocol):
    """Watches the release that was promoted last, see `ReleaseWatch`."""

    def begin(self) -> None: ...

    def end(self) -> None: ...

    def fault(self) -> str: ...


class Follower:
    """A thread that has the server do what the live set says. Use as a context manager, while the server runs.

    Args:
        server: it runs on releases of this store.
        watch: says when a release has to be taken back after its promotion; None if nobody does.
        interval: seconds between two looks at the live set.
    """

    def __init__(self, server: TritonServer, watch: Watch | None = None, interval: float = 0.05) -> None:
        self._server, self._watch, self._interval = server, watch, interval
        self._store = ReleaseStore(server.repository, server.model)
        self._sets = LiveSets(server.repository, server.model)
        self._seen: LiveSet | None = None
        self._fault = ""
        self._arms = ArmServers(self._arm_server)
        self._refused: dict[str, str] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cascade-live-set", daemon=True)

    def __enter__(self) -> Self:
        if self._sets.read() is None:
            self._promote(self._server.release, "serve", "the first release that was served")
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(_LET_LOAD_S)
        self._arms.stop()

    def look(self) -> None:
        """Do what the live set says. What cannot be loaded is noted in the server's status."""
        live = self._sets.read()
        if live is not None and live != self._seen:
            live = self._seen = self._sets.checked()
            self._server.live_set_changes = self._sets.log.read().counts
            if live is not None:
                self._take_stable(live)
        if live is not None:
            self._ask_arms(live)
            self._take_back(live)

    def _take_stable(self, live: LiveSet) -> None:
        self._refused.clear()
        if self._server.release != live.stable:
            try:
                self._server.reload(self._store.folder(live.stable))
            except CascadeError as error:
                self._server.followed(live.generation, one_line(error))
                _log.error("release %s stays live: %s", self._server.release, one_line(error))
                return
            _log.warning("release %s is live", live.stable)
            if self._watch is not None:
                promoted = self._sets.log.read().lines[-1].action not in ROLLBACKS
                (self._watch.begin if promoted else self._watch.end)()
        self._server.followed(live.generation)
        if live.previous is not None:
            try:
                self._server.keep(self._store.folder(live.previous))
            except CascadeError as error:
                _log.warning("a rollback to release %s will have to load it: %s", live.previous, one_line(error))

    def _take_back(self, live: LiveSet) -> None:
        """Go back to the previous release if the one that was promoted last does not work."""
        fault, previous = self._watch.fault() if self._watch is not None else "", live.previous
        if not fault or previous is None:
            return
        _log.error("release %s is taken back: %s", live.stable, fault)

        def make(now: LiveSet | None) -> LiveSet:
            if now != live:
                raise ReleaseError("another process has changed the live set meanwhile")
            return live.with_stable(previous)

        self._sets.change(make, actor=this_process(), action=TAKEN_BACK, reason=fault)

    def _ask_arms(self, live: LiveSet) -> None:
        """Have servers of their own for the arms and shadows, and tell the model's processes where these answer."""
        answering = {arm.release for arm in live.arms}
        servers = {
            arm.release: self._server_of(arm.release, arm.release not in answering)
            for arm in (*live.arms, *live.shadows)
        }

        def address(arm: Arm) -> ArmAddress:
            server = servers[arm.release]
            return ArmAddress(arm.name, arm.release, arm.share, server.url if server else None)

        def state(arm: Arm) -> str:
            server = servers[arm.release]
            return self._refused[arm.release] if server is None else server.fault

        arms, shadows = (tuple(map(address, each)) for each in (live.arms, live.shadows))
        states = {arm.name: state(arm) for arm in (*live.arms, *live.shadows)}
        self._server.ask_beside(Beside(live.salt, arms, shadows, self._server.config.arm_timeout_s), states)
        self._arms.keep_only(servers.values())

    def _server_of(self, release: str, background: bool) -> ArmServer | None:
        """The server of an arm's release; None if it cannot have one."""
        if release not in self._refused:
            try:
                folder = self._store.folder(release)
                if not self._server.answers_alike(folder):
                    raise ServerError(
                        "has other inputs, outputs or stages than the stable release; only `cascade release promote` "
                        "takes it"
                    )
                return self._arms.add(release, folder, background)
            except CascadeError as error:
                self._refused[release] = one_line(error)
                _log.error("release %s gets no users: %s", release, one_line(error))
        return None

    def _arm_server(self, repository: Path, stop: threading.Event) -> TritonServer:
        server = self._server
        config = server.config.model_copy(
            update={
                **dict.fromkeys(("http_port", "grpc_port", "metrics_port"), 0),
                **{"host": "127.0.0.1", "grpc_host": None, "metrics_host": None, "expose": False, "standby": False},
            }
        )
        return TritonServer(
            server.repository,
            server.model,
            feature_repo=server.feature_repo,
            redis=server.redis,
            config=config,
            cancelled=stop,
            first=repository,
            clients=False,
        )

    def promote_published(self) -> None:
        """Load what is published now, and make it the stable release.

        Raises:
            CascadeError: if it cannot be loaded, or the live set is damaged or edited; then nothing changes.
        """
        self._sets.checked()
        published = self._store.published()
        kept = published is not None and (self._store.place / published).is_dir()
        self._server.reload(self._store.folder(published) if kept and published else None)
        self._promote(self._server.release, "reload", "the published release was loaded")

    def _promote(self, release: str, action: Action, reason: str) -> None:
        """Make a release that answers already the stable one, if it is kept."""
        live = self._sets.read()
        if (live and live.stable == release) or not (self._store.place / release).is_dir():
            return

        def make(live: LiveSet | None) -> LiveSet:
            return live.with_stable(release) if live else LiveSet(release)

        try:
            self._sets.change(make, actor=this_process(), action=action, reason=reason)
        except (CascadeError, OSError) as error:  # for example a repository that nobody may write to
            _log.warning(
                "release %s answers, but is not noted as the stable one, so the next start takes another: %s; "
                "`cascade release promote %s` notes it, as a user who may write there",
                release,
                one_line(error),
                release,
            )

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.look()
                self._fault = ""
            except Exception as error:  # of any kind: the server goes on with what it has
                if (fault := one_line(error)) != self._fault:
                    _log.error("the live set cannot be followed: %s", fault)
                self._fault = fault
