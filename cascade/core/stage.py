"""Stages: each makes one artifact from config sections and parent artifacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifact import (
    MANIFEST,
    Artifact,
    unfinished_path,
    write_artifact,
)
from .section import Section

Sections = Mapping[str, Section]
"""Key -> section. Keys may be dotted: a stage that reads ``serving.ann`` does not depend on ``serving.rerank``."""
Fill = Callable[[Path, Sections, Mapping[str, Artifact]], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline."""

    name: str
    help: str
    """What it does, in a few words."""
    sections: Sequence[str]
    """Keys of the config sections that it reads."""
    parents: Sequence[str]
    """Names of the stages whose artifacts it reads."""
    fill: Fill
    """Called with (folder, sections, parents); writes the artifact's files into the folder and returns its metrics."""
    version: int = 1
    """Raised when the code writes other files from the same inputs."""
    publish: Callable[[Artifact, Sections], None] | None = None
    """Copies the finished artifact to where it is used (Feast's store, the model repository), unless it is there."""
    take_part: Callable[[Path, Sections, Mapping[str, Artifact]], None] | None = None
    """The training part of ``fill``, for workers that are not the chief. It writes nothing."""

    def key(self, sections: Sections, parents: Mapping[str, str]) -> str:
        """Name of the run folder: a hash of the stage's sections, its version and its parents' digests."""
        pins = {name: sections[name].model_dump(mode="json") for name in self.sections}
        text = json.dumps([self.name, self.version, pins, dict(parents)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def folder(self, runs: Path, sections: Sections, parents: Mapping[str, str]) -> Path:
        """The run folder for these inputs."""
        return runs / self.name / self.key(sections, parents)

    def find(self, runs: Path, sections: Sections, parents: Mapping[str, str]) -> Artifact | None:
        """The finished artifact for these inputs, or None."""
        folder = self.folder(runs, sections, parents)
        return Artifact.load(folder, self.name) if (folder / MANIFEST).is_file() else None

    def run(
        self,
        runs: Path,
        sections: Sections,
        parents: Mapping[str, Artifact],
        describe: Callable[[Artifact], None] | None = None,
    ) -> Artifact:
        """Run the stage, even if its artifact exists. ``describe`` is that of `write_artifact`."""
        folder, own = self._inputs(runs, sections, parents)
        return write_artifact(folder, self.name, parents, lambda path: self.fill(path, own, parents), describe)

    def join(self, runs: Path, sections: Sections, parents: Mapping[str, Artifact]) -> None:
        """Take part in the training of a chief that runs this stage in another process."""
        assert self.take_part is not None
        folder, own = self._inputs(runs, sections, parents)
        self.take_part(unfinished_path(folder), own, parents)

    def _inputs(self, runs: Path, sections: Sections, parents: Mapping[str, Artifact]) -> tuple[Path, Sections]:
        """The run folder, and the sections that the stage reads."""
        digests = {name: artifact.digest for name, artifact in parents.items()}
        return self.folder(runs, sections, digests), {name: sections[name] for name in self.sections}
