"""Where the users come from that both releases are asked: the artifacts that the candidate was made with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...core.artifact import Artifact
from ...core.errors import ArtifactError
from ...core.files import read_json
from ...core.signature import Signature
from ...ensemble.graph.executor import Executor
from ...ensemble.graph.graph_file import damage_named
from ...ensemble.graph.ops import LookupUser
from ...ensemble.graph.ops.base import Op
from ...ensemble.protocol.release_names import GRAPH
from ...evaluation.config import EvaluationConfig
from ...evaluation.served_graph import load_before_test
from ..config import GatesConfig
from ..releases.store import ReleaseStore
from .requests import HeldOutRequests, held_out_requests


@dataclass(frozen=True)
class HeldOutUsers:
    """The users of the candidate's test part, as they were before it."""

    runs: Path
    """Folder with the artifacts."""
    parts: Mapping[str, str]
    """Stage -> digest, of the candidate."""
    evaluation: EvaluationConfig
    """Names the columns of the slices."""
    config: GatesConfig

    @classmethod
    def of(
        cls, store: ReleaseStore, candidate: str, runs: Path, evaluation: EvaluationConfig, config: GatesConfig
    ) -> HeldOutUsers:
        """Those of a release that is kept; of one whose description is damaged, none are found.

        Raises:
            ReleaseError: it is not kept.
        """
        try:
            return cls(runs, store.read(candidate).parts, evaluation, config)
        except ArtifactError:
            return cls(runs, {}, evaluation, config)

    def load(self, version: Path) -> Executor:
        """A release that reads its users from the features artifact; if that is gone, it cannot be asked.

        Args:
            version: version folder of either release.

        Raises:
            ArtifactError: the release cannot be loaded.
        """
        try:
            features = self.find("features").path
        except ArtifactError:
            with damage_named(version):
                nodes = [node for node in read_json(version / GRAPH)["nodes"] if node["op"] == LookupUser.kind]
                unread: dict[str, Op] = {node["op"]: LookupUser(**node["params"]) for node in nodes}
            return Executor.load(version, replace=unread)
        return load_before_test(version, features)

    def requests(self, inputs: Signature) -> HeldOutRequests:
        """One request for each user.

        Args:
            inputs: of both releases.

        Raises:
            ArtifactError: an artifact is not there.
            DataError: nobody took anything in the test part.
        """
        self.find("features")
        data, etl = self.find("data"), self.find("etl")
        most, seed = self.config.users, self.config.seed
        return held_out_requests(data.path, etl.path, inputs, self.evaluation, most, seed)

    def find(self, stage: str) -> Artifact:
        """The artifact of a stage that the candidate was made with.

        Raises:
            ArtifactError: it is not there.
        """
        for folder in sorted(self.runs.glob(f"{stage}/[!.]*")):
            try:
                found = Artifact.load(folder, stage)
            except ArtifactError:
                continue
            if found.digest == self.parts.get(stage):
                return found
        digest = self.parts.get(stage, "")[:12] or "unknown"
        raise ArtifactError(
            f"{self.runs}: the {stage} artifact {digest} that the release was made with is not there, so there are no "
            "held-out users; run the command where the release was made, or name the folder with --runs"
        )
