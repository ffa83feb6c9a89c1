"""A small live release, users who take items with the probabilities that its ranker gives, and ways to spoil a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cascade.core.artifact import Artifact
from cascade.core.errors import ArtifactError
from cascade.core.signature import Signature
from cascade.ensemble.graph.executor import Executor
from cascade.rollout.config import GatesConfig
from cascade.rollout.gates.measure import catalogue_of, item_ids_of, measure
from cascade.rollout.gates.requests import HeldOutRequests
from cascade.rollout.gates.verdict import GateReport
from cascade.rollout.gates.verify import verify
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.miniature import RELEASE, USERS, seal

COUNT = 1000
MODEL = "cascade"
BAD = "bad000000000"


@dataclass(frozen=True)
class GivenUsers:
    """Held-out users that no artifact is needed for."""

    given: HeldOutRequests

    def load(self, version: Path) -> Executor:
        return Executor.load(version)

    def requests(self, inputs: Signature) -> HeldOutRequests:
        return self.given

    def find(self, stage: str) -> Artifact:
        return Artifact(Path(stage), stage, "", {}, {"recsys_label_leak_check": 1})


@dataclass(frozen=True)
class NoUsers(GivenUsers):
    def find(self, stage: str) -> Artifact:
        raise ArtifactError(f"{stage} is gone")


def taken_by_chance(executor: Executor, count: int = COUNT, seed: int = 0) -> HeldOutRequests:
    """Requests of the miniature's users at many hours. A user takes each candidate of the release by chance, with the
    probability that its ranker gives, so that this release is calibrated."""
    rng = np.random.default_rng(seed)
    columns = {"user_id": 100 + np.arange(count)[:, None] % USERS, "hour": rng.integers(0, 24, (count, 1))}
    nothing = HeldOutRequests(columns, np.zeros(0, np.int64), np.zeros(0, np.int64))
    ids = item_ids_of(executor)
    asked = measure(executor, nothing, catalogue_of([ids]))
    owners, places = np.nonzero(rng.random(asked.logits.shape) < 1 / (1 + np.exp(-asked.logits.astype(float))))
    user = columns["user_id"][owners, 0]
    slices = {"women": user % 2 == 0, "three users": np.isin(user, [103, 107, 113])}
    return HeldOutRequests(columns, owners, ids[asked.candidates[owners, places]], slices)


@dataclass(frozen=True)
class Releases:
    """A store with a live release, and its users."""

    store: ReleaseStore
    repository: Path
    users: GivenUsers
    live: str = RELEASE.release

    def keep(self, spoil: Callable[[Path], None], *, late: bool = False) -> None:
        """Keep a copy of the live release as ``BAD``.

        Args:
            spoil: called with its version folder.
            late: after the digests were written, so that these tell.
        """
        folder = self.store.place / BAD
        shutil.copytree(self.repository, folder)
        for file in folder.rglob("*.json"):
            file.write_text(file.read_text().replace(self.live, BAD))
        version = folder / MODEL / "1"
        if late:
            seal(folder)
            spoil(version)
        else:
            spoil(version)
            seal(folder)

    def judge(self, config: GatesConfig | None = None) -> GateReport:
        return verify(self.store, BAD, self.live, config or GatesConfig(), self.users)
