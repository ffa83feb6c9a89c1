"""Whether served requests saw the features that the data and the ETL give: train/serve skew."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol

from ...core.artifact import Artifact
from ...core.errors import CascadeError
from ...ensemble.graph.executor import Executor
from ...ensemble.protocol.skew_rows import key_of, read_rows, skew_folder
from ..config import GatesConfig
from ..releases.store import ReleaseStore
from ..skew.counts import STORE, SkewCounts, count_skew
from ..skew.offline import OfflineUsers
from .verdict import GateVerdict, judged, unknown

NAME = "train/serve skew"


class Artifacts(Protocol):
    """Finds those that a release was made with, see `HeldOutUsers.find`."""

    def find(self, stage: str) -> Artifact: ...


def sampled_verdict(
    store: ReleaseStore, release: str, executor: Executor, artifacts: Artifacts, config: GatesConfig
) -> GateVerdict | None:
    """The verdict on the requests that servers have kept, see `skew_verdict`; None if there are none.

    Args:
        executor: of the release.
    """
    folder = skew_folder(store.repository, store.model)
    rows = [*read_rows(folder)]
    if not rows:
        return None
    try:
        data, etl, features = (artifacts.find(stage) for stage in ("data", "etl", "features"))
        offline = OfflineUsers.of(data, etl, features)
        counts = count_skew(rows, key_of(folder), release, executor, offline, etl.path)
    except CascadeError as error:
        return unknown(NAME, str(error), {"kept": len(rows)})
    return skew_verdict(counts, offline.cut, config)


def skew_verdict(counts: SkewCounts, cut: float, config: GatesConfig) -> GateVerdict:
    """Figures: requests ``kept``, of users who are ``unknown``, ``later`` than the log ends; those of which the store's
    columns and the features were compared; for each column the share of those that differ, e.g. ``store gender``."""
    compared, most = counts.compared, config.max_skew
    shares = {f"{part} {name}": count / max(compared[part], 1) for (part, name), count in counts.differ.items()}
    figures: dict[str, float | None] = {
        "kept": counts.kept,
        "unknown": counts.unknown,
        "later": counts.later,
        **{f"compared {part}": count for part, count in compared.items()},
        **shares,
    }
    enough = {part for part, count in compared.items() if count >= config.min_skew_requests}
    above = sorted(((share, name) for name, share in shares.items() if share > most), reverse=True)
    faults = [f"{name} {share:.1%}" for share, name in above if name.partition(" ")[0] in enough]
    if faults:
        text = f"share of requests that differ from the data: {', '.join(faults)}; allowed: {most:.1%}"
        return judged(NAME, [text], "", figures)
    end = datetime.fromtimestamp(cut, UTC).isoformat(timespec="seconds")
    left = f"{counts.later:,} came after the log ends ({end}), {counts.unknown:,} are of users whom it does not have"
    can = f"{max(compared.values()):,} of {counts.kept:,} requests can be compared"
    if not enough:
        return unknown(NAME, f"{can}, expected {config.min_skew_requests:,}: {left}", figures)
    largest = max((share for name, share in shares.items() if name.partition(" ")[0] in enough), default=0.0)
    text = f"{max(compared.values()):,} requests; no column differs in more than {largest:.1%}"
    if STORE not in enough:
        text += f"; the store's columns could not be compared: of {counts.kept:,} requests {left}"
    return judged(NAME, [], text, figures)
