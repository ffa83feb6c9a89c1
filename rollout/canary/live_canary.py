"""A canary of the live set, and what the running servers say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ...core.errors import ReleaseError
from ...ensemble.protocol.arms import CANARY
from ...ensemble.protocol.assignment import STABLE
from ...ensemble.server.releases.running_servers import servers_of
from ...ensemble.server.status import ServerStatus
from ..config import CanaryConfig
from ..gates.verdict import GateReport, GateVerdict, unknown
from ..releases.arms import start_canary, stop_arms
from ..releases.live_set import Arm, LiveSet, LiveSets
from ..releases.promotion import promote
from ..releases.store import ReleaseStore
from .arm_figures import ArmFigures
from .live_gates import live_verdicts
from .ramp import RampEnd
from .scrape import Growth, scrape

STARTING = "it is being loaded"
ROLLED_BACK: Final = "canary rolled back"
"""Action in the audit log."""
Outcomes = Callable[[LiveSet], Sequence[GateVerdict]]
"""What the outcomes of the users say, where events are fed."""


class LiveCanary:
    """A release as the canary of its model, for `Ramp`.

    Args:
        release: its whole id.
        reason: for the audit log.
        timeout_s: seconds that the servers have to take it when it is promoted.
        outcomes: further gates, called at each look.
    """

    def __init__(
        self,
        store: ReleaseStore,
        release: str,
        reason: str,
        config: CanaryConfig,
        timeout_s: float = 10.0,
        outcomes: Outcomes = lambda live: (),
    ) -> None:
        self._store, self._release, self._reason, self._config = store, release, reason, config
        self._timeout_s, self._outcomes = timeout_s, outcomes
        self._sets = LiveSets(store.repository, store.model)
        self._growth, self._faults = Growth(), list[str]()
        self._begun = release
        self._live: LiveSet | None = None

    @property
    def share(self) -> float | None:
        """Its share now; None if it is no canary."""
        live = self._sets.read()
        canary = live.canary if live else None
        return canary.share if canary and canary.release == self._release else None

    def set_share(self, share: float, figures: Mapping[str, Any] | None = None) -> None:
        """See `Canary`."""
        before = self._sets.read()
        if self._live is None and before and before.arms == (Arm(CANARY, self._release, share),):
            self._live = before
            return
        expected = self._live.arms if self._live else None
        self._live = start_canary(self._store, self._release, share, self._reason, figures, expected)

    def promote(self, figures: Mapping[str, Any] | None) -> str:
        """See `Canary`."""
        switch = promote(self._store, self._release, self._reason, self._timeout_s, figures, self._known.arms)
        if switch.put_back:
            return "; ".join(f"process {each.pid}: {each.why_not}" for each in switch.servers if each.refused)
        return ""

    def stop(self, reason: str, figures: Mapping[str, Any] | None) -> None:
        """See `Canary`."""
        stop_arms(self._store, reason, figures, ROLLED_BACK, self._known.arms)

    def changed(self) -> RampEnd | None:
        """See `Canary`."""
        live = self._sets.read()
        if live and live.canary and self._is_refreshed(live.canary):
            self._release, self._live = live.canary.release, live
        if live and live.arms == self._known.arms and live.stable == self._known.stable:
            self._live = live
            return None
        if live and live.stable == self._release:
            return RampEnd("promoted", "another process has promoted it")
        canary = live.canary if live else None
        if live and canary and canary.release == self._release:
            what = f"the share to {canary.share:.4g}" if live.stable == self._known.stable else "the stable release"
            return RampEnd("held", f"another process has changed {what} (generation {live.generation})")
        return RampEnd("rolled back", "another process has ended the canary; `cascade release history` tells which")

    def renewed(self) -> bool:
        """See `Canary`."""
        return self._begun != self._release

    def _is_refreshed(self, now: Arm) -> bool:
        """Whether the canary of now is this release with other items."""
        made = self._store.read(now.release).refreshed if now.release != self._release else None
        return made is not None and made["from"] == self._release and now.share == self._known.arms[0].share

    def has_servers(self) -> bool:
        """See `Canary`."""
        return bool(self._statuses())

    def silent(self) -> str:
        """See `Canary`."""
        statuses = self._statuses()
        why = {pid: _why_silent(status, self._known) for pid, status in statuses.items()}
        if not why:
            return "no `cascade serve` of this model runs"
        return "; ".join(f"process {pid}: {text}" for pid, text in why.items() if text)

    def begin(self) -> None:
        """See `Canary`."""
        self._begun = self._release
        self._scrape()
        self._growth.start()

    def look(self) -> GateReport:
        """See `Canary`."""
        self._scrape()
        live = self._known
        stable = ArmFigures.of(self._growth.grown, STABLE, live.stable)
        canary = ArmFigures.of(self._growth.grown, CANARY, self._release)
        faults = [unknown("metrics", fault) for fault in self._faults]
        verdicts = [*faults, *live_verdicts(stable, canary, self._config), *self._outcomes(live)]
        return GateReport(self._release, live.stable, verdicts)

    @property
    def _known(self) -> LiveSet:
        """The live set with this canary.

        Raises:
            ReleaseError: it has no share yet.
        """
        if self._live is None:
            raise ReleaseError(f"release {self._release}: is no canary yet")
        return self._live

    def _scrape(self) -> None:
        """Read the counters of all servers; `_faults` says which cannot be read."""
        self._faults = []
        for pid, status in self._statuses().items():
            try:
                self._growth.add(status.metrics_url, scrape(status.metrics_url))
            except (OSError, ValueError) as error:
                self._faults.append(f"process {pid}: {status.metrics_url or 'its metrics'} cannot be read ({error})")

    def _statuses(self) -> dict[int, ServerStatus]:
        """Process id -> status of each server that follows the live set."""
        servers = servers_of(self._store.repository, self._store.model)
        return {each.pid: ServerStatus.read(Path(each.status_file)) for each in servers if each.takes_hangup}


def _why_silent(status: ServerStatus, live: LiveSet) -> str:
    """Why a server does not answer with the canary; empty if it does."""
    if status.live_set < live.generation:
        return "has not followed the live set yet"
    return status.arms.get(CANARY, STARTING)
