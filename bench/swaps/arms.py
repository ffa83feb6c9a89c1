"""What clients notice of a canary whose process is killed, and of a shadow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from ...core.text_table import table
from ...ensemble.protocol.arms import CANARY
from ...ensemble.server.releases.running_servers import servers_of
from ...ensemble.server.status import ServerStatus
from ...ensemble.server.stubs import stub_of
from ...rollout.releases.live_set import Arm, LiveSet, LiveSets
from ...rollout.releases.store import ReleaseStore
from ..chaos.steady_load import Sent, SteadyLoad
from .checked_answers import CheckedClients
from .swap import ACTOR, errors_of, wait_until

SHADOW = "shadow"
_SHARE = 0.5
"""Of the users who have the canary."""
_PAIRS, _BLOCK_S, _SETTLE_S = 20, 5.0, 0.5
_MOST_KILLS = 20


@dataclass(frozen=True)
class ArmsReport:
    """What clients noticed."""

    back_s: Sequence[float]
    """Of each kill of the canary's process: until the canary answered again."""
    marked: int
    """Answers of the stable release that say that the canary is unavailable."""
    answered: int
    errors: dict[str, int]
    """What failed -> how often; wrong answers are among it."""
    p95_ms: Sequence[tuple[float, float]]
    """95th percentile of the latency without and with a shadow, in blocks that follow each other."""


def arms_steps(kills: int) -> int:
    """How often `try_arms` calls ``on_step``."""
    return min(kills, _MOST_KILLS) + _PAIRS


def try_arms(
    store: ReleaseStore,
    release: str,
    clients: CheckedClients,
    load: SteadyLoad,
    kills: int,
    shadow_share: float = 0.1,
    on_step: Callable[[], None] = lambda: None,
) -> ArmsReport:
    """Have ``release`` as a canary whose process is killed again and again, and then as a shadow, now and then.

    Args:
        store: a server of this machine follows its live set, and another release is stable.
        load: of ``clients``.
        kills: at most `_MOST_KILLS` are done.
        shadow_share: the shadow's share of the requests.

    Raises:
        ServerError: if the canary does not answer in time.
    """
    sets = LiveSets(store.repository, store.model)
    [server] = [one for one in servers_of(store.repository, store.model) if one.takes_hangup]
    status_file = Path(server.status_file)

    def has_arms(**states: str) -> Callable[[], bool]:
        return lambda: dict(ServerStatus.read(status_file).arms) == states

    begun, back = time.monotonic(), []
    _set(sets, arms=(Arm(CANARY, release, _SHARE),))
    wait_until(has_arms(canary=""), "the canary answers")
    for _ in range(min(kills, _MOST_KILLS)):
        wait_until(lambda: _stubs_of_arms(server.pid, status_file) != [], "the canary has a process")
        killed = time.monotonic()
        for stub in _stubs_of_arms(server.pid, status_file):
            with suppress(ProcessLookupError):
                os.kill(stub, signal.SIGKILL)
        wait_until(partial(_marked_since, clients, killed), "an answer says that the canary is unavailable")
        wait_until(lambda: clients.last.get(release, 0.0) > clients.marked_at + _SETTLE_S, "the canary answers again")
        back.append(clients.last[release] - killed)
        on_step()
    _set(sets, arms=(), shadows=(Arm(SHADOW, release, 0.0),))
    wait_until(has_arms(shadow=""), "the shadow answers")
    pairs = []
    for pair in range(_PAIRS):
        shares = (0.0, shadow_share) if pair % 2 == 0 else (shadow_share, 0.0)
        p95 = {share: _p95(sets, release, share, load) for share in shares}
        pairs.append((p95[0.0], p95[shadow_share]))
        on_step()
    _set(sets, shadows=())
    sent = load.sent(begun)
    return ArmsReport(back, clients.marked, sum(not one.error for one in sent), errors_of(sent), pairs)


def arms_text(report: ArmsReport, shadow_share: float = 0.1) -> str:
    """The report in words and numbers."""
    without, beside = np.array(report.p95_ms).T
    ratios = beside / without
    seconds, spread = np.array(report.back_s), f"{ratios.min():.2f} to {ratios.max():.2f}"
    rows = [
        ("kills of the canary's process", f"{len(seconds):,}"),
        ("canary answers again, median / longest s", f"{np.median(seconds):.2f} / {seconds.max():.2f}"),
        ("answers of the stable release in its place, with the reason", f"{report.marked:,}"),
        ("requests answered as their release does offline", f"{report.answered:,}"),
        ("failed or wrong", f"{sum(report.errors.values()):,}"),
        (
            f"p95 with a shadow of {shadow_share:.0%} / without, ms",
            f"{np.median(beside):.1f} / {np.median(without):.1f}",
        ),
        (f"ratio of both in {len(ratios)} pairs, median (range)", f"{np.median(ratios):.2f} ({spread})"),
    ]
    errors = [f"{count:,} times: {error}" for error, count in report.errors.items()]
    return "\n".join([table(("", ""), rows), *errors])


def _marked_since(clients: CheckedClients, at: float) -> bool:
    return clients.marked_at > at


def _p95(sets: LiveSets, release: str, share: float, load: SteadyLoad) -> float:
    """The 95th percentile of the latency in a block with this share of the shadow, milliseconds."""
    _set(sets, shadows=(Arm(SHADOW, release, share),))
    time.sleep(_SETTLE_S)
    start = time.monotonic()
    time.sleep(_BLOCK_S)
    return float(np.percentile([1000 * (one.done - one.at) for one in _answered(load, start)], 95))


def _answered(load: SteadyLoad, since: float) -> list[Sent]:
    return [one for one in load.sent(since) if not one.error]


def _set(sets: LiveSets, **fields: tuple[Arm, ...]) -> None:
    def make(live: LiveSet | None) -> LiveSet:
        assert live is not None  # swaps were made before
        return replace(live, arms=fields.get("arms", live.arms), shadows=fields.get("shadows", live.shadows))

    sets.change(make, actor=ACTOR, reason="arms")


def _stubs_of_arms(server: int, status_file: Path) -> list[int]:
    """Process ids of the model processes of arms: they run on another copy of the repository than the others."""
    own = set(ServerStatus.read(status_file).processes)
    paths: dict[int, str] = {}
    for child in psutil.Process(server).children(recursive=True):
        with suppress(psutil.NoSuchProcess, IndexError):
            if stub_of(child.pid) is not None:
                paths[child.pid] = child.cmdline()[1]
    stable = {path for pid, path in paths.items() if pid in own}
    return [pid for pid, path in paths.items() if path not in stable]
