"""Makes one of two releases live after the other while clients ask, and reports what they noticed."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...core.errors import ServerError
from ...core.text_table import table
from ...ensemble.server import shared_memory
from ...ensemble.server.releases.running_servers import servers_of
from ...ensemble.server.status import ServerStatus
from ...rollout.releases.live_set import LiveSet, LiveSets
from ...rollout.releases.store import ReleaseStore
from ..chaos.steady_load import Sent, SteadyLoad
from ..memory import memory_of
from .checked_answers import CheckedClients

BROKEN = "ffffffffffff"
"""Id of a release that no server can load."""
_BROKEN_EVERY = 25
_FIRST = 10
"""Swaps after which memory is measured first; caches are full by then."""
_WITHIN_S = 60.0
_LOOK_S = 0.01
"""Seconds between two looks; more often, they would slow the clients down, which share this process."""
ACTOR = "cascade bench --swaps"
"""Who the audit log says it was."""
_PAUSE_S = 0.25
"""Seconds between two swaps, in which the latency beside a swap is measured."""


@dataclass(frozen=True)
class SwapReport:
    """What clients noticed of many swaps."""

    seconds: Sequence[float]
    """Of each swap: from the change of the live set to the first answer of the release."""
    refused: int
    """Releases that could not be loaded, and were not."""
    answered: int
    errors: Mapping[str, int]
    """What failed -> how often; wrong answers are among it."""
    p99_in_ms: float
    """99th percentile of the latency of requests that were sent during a swap."""
    p99_beside_ms: float
    """The same of all others."""
    memory_mb: tuple[float, float]
    """Of all processes after the tenth swap and after the last one."""
    shared_mb: tuple[float, float]
    """The same of /dev/shm."""


def swap_often(
    store: ReleaseStore,
    releases: tuple[str, str],
    clients: CheckedClients,
    load: SteadyLoad,
    times: int,
    on_swap: Callable[[], None] = lambda: None,
) -> SwapReport:
    """Make the second of ``releases`` live, then the first one, and so on; now and then one that cannot be loaded.

    Args:
        store: a server of this machine follows its live set, and the first of ``releases`` answers.
        load: of ``clients``.

    Raises:
        ServerError: if a release does not answer, or one that is broken does.
    """
    sets = LiveSets(store.repository, store.model)
    [server] = servers_of(store.repository, store.model)
    status_file = Path(server.status_file)
    swaps: list[tuple[float, float]] = []
    sizes: list[tuple[float, float]] = []
    refused = 0
    for number in range(times):
        if number % _BROKEN_EVERY == _BROKEN_EVERY // 2:
            _try_broken(status_file, sets)
            refused += 1
        swaps.append(_swap(status_file, sets, clients, releases[(number + 1) % 2]))
        if number + 1 in (min(_FIRST, times), times):
            sizes.append((_memory_mb(server.pid), _shared_mb()))
        on_swap()
        time.sleep(_PAUSE_S)
    return _report(load.sent(swaps[0][0]), swaps, refused, sizes)


def _swap(status_file: Path, sets: LiveSets, clients: CheckedClients, release: str) -> tuple[float, float]:
    """Make a release live; when that was begun, and when its first answer came."""
    start = time.monotonic()
    _change(sets, release)
    wait_until(lambda: clients.last.get(release, 0.0) > start, f"release {release} answers")
    first = clients.last[release]
    wait_until(lambda: ServerStatus.read(status_file).release == release, f"release {release} is live")
    return start, first


def prepare(store: ReleaseStore, own: ReleaseStore, releases: Sequence[str]) -> None:
    """Put two releases of ``store`` into ``own``, the first one live, and one that no server can load."""
    for release in releases:
        own.add(store.folder(release))
    broken = own.place / BROKEN
    shutil.copytree(own.folder(releases[0]), broken)
    next(broken.rglob("graph.json")).unlink()
    _change(LiveSets(own.repository, own.model), releases[0])


def _change(sets: LiveSets, release: str) -> LiveSet:
    def make(live: LiveSet | None) -> LiveSet:
        return live.with_stable(release) if live else LiveSet(release)

    return sets.change(make, actor=ACTOR, reason="swap")


def _try_broken(status_file: Path, sets: LiveSets) -> None:
    """Make a broken release the stable one until the server has refused it."""
    before = sets.read()
    assert before is not None  # `prepare` has made it
    generation = _change(sets, BROKEN).generation

    def refused() -> bool:
        status = ServerStatus.read(status_file)
        return status.live_set == generation and bool(status.live_set_fault)

    wait_until(refused, "the broken release is refused")
    sets.change(lambda live: before, actor=ACTOR, reason="put back")


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Wait for something that has to happen soon.

    Raises:
        ServerError: saying ``what`` was expected.
    """
    deadline = time.monotonic() + _WITHIN_S
    while not done():
        if time.monotonic() > deadline:
            raise ServerError(f"expected that {what} within {_WITHIN_S:.0f} s; it did not happen")
        time.sleep(_LOOK_S)


def _memory_mb(pid: int) -> float:
    """Of a process and all that it has started."""
    return sum(usage.own for usage in memory_of(pid).values())


def _shared_mb() -> float:
    files = shared_memory.FOLDER.glob("cascade_*")
    return sum(file.stat().st_blocks * 512 for file in files if file.exists()) / 2**20


def errors_of(sent: Sequence[Sent]) -> dict[str, int]:
    """What failed -> how often."""
    return dict(Counter(one.error for one in sent if one.error))


def _report(
    sent: Sequence[Sent], swaps: Sequence[tuple[float, float]], refused: int, sizes: Sequence[tuple[float, float]]
) -> SwapReport:
    starts, ends = np.array(swaps).T
    at = np.array([one.at for one in sent])
    swap = np.searchsorted(starts, at, side="right") - 1
    during = (swap >= 0) & (at <= ends[np.maximum(swap, 0)])
    took = np.array([1000 * (one.done - one.at) for one in sent])
    (first_mb, first_shared), (last_mb, last_shared) = sizes[0], sizes[-1]
    return SwapReport(
        seconds=[end - start for start, end in swaps],
        refused=refused,
        answered=sum(not one.error for one in sent),
        errors=errors_of(sent),
        p99_in_ms=float(np.percentile(took[during], 99)) if during.any() else float("nan"),
        p99_beside_ms=float(np.percentile(took[~during], 99)) if (~during).any() else float("nan"),
        memory_mb=(first_mb, last_mb),
        shared_mb=(first_shared, last_shared),
    )


def as_text(report: SwapReport) -> str:
    """The report in words and numbers."""
    seconds = np.array(report.seconds)
    rows = [
        ("swaps", f"{len(seconds):,}"),
        ("first answer of the release, median / longest s", f"{np.median(seconds):.3f} / {seconds.max():.3f}"),
        ("broken releases refused", f"{report.refused:,}"),
        ("requests answered as their release does offline", f"{report.answered:,}"),
        ("failed or wrong", f"{sum(report.errors.values()):,}"),
        ("p99 in a swap / beside one, ms", f"{report.p99_in_ms:.1f} / {report.p99_beside_ms:.1f}"),
        ("memory after the tenth / last swap, MB", "{:.0f} / {:.0f}".format(*report.memory_mb)),
        ("shared memory after the tenth / last swap, MB", "{:.1f} / {:.1f}".format(*report.shared_mb)),
    ]
    errors = [f"{count:,} times: {error}" for error, count in report.errors.items()]
    return "\n".join([table(("", ""), rows), *errors])


def version_folders(store: ReleaseStore, releases: Sequence[str]) -> list[Path]:
    """The folders of the releases' graphs."""
    return [next((store.folder(release) / store.model).glob("*/graph.json")).parent for release in releases]
