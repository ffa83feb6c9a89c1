"""Stages: one verb each, from config sections and parent artifacts to one artifact."""

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
    aside_of,
    write_artifact,
)
from .section import Section

# Keys may be dotted: a stage that reads ``serving.ann`` is not run again when ``serving.rerank`` changes.
Sections = Mapping[str, Section]
Fill = Callable[[Path, Sections, Mapping[str, Artifact]], Mapping[str, Any] | None]


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    ``fill(folder, sections, parents)`` writes the artifact's files into ``folder`` and returns its metrics.
    ``version`` changes when the stage's code writes something else from the same input.
    """

    name: str
    help: str
    sections: Sequence[str]
    parents: Sequence[str]
    fill: Fill
    version: int = 1
    publish: Callable[[Artifact, Sections], None] | None = None
    """Bring the finished artifact where it is used (Feast's store, the model repository); quick when it is there."""
    take_part: Callable[[Path, Sections, Mapping[str, Artifact]], None] | None = None
    """What of ``fill`` several workers do together, for those that are not the chief and write nothing."""

    def key(self, sections: Sections, parents: Mapping[str, str]) -> str:
        """The name of the run folder: a hash of the sections that the stage reads and its parents' digests."""
        pins = {name: sections[name].model_dump(mode="json") for name in self.sections}
        text = json.dumps([self.name, self.version, pins, dict(parents)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def folder(self, runs: Path, sections: Sections, parents: Mapping[str, str]) -> Path:
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
        """Run the stage, whether or not its artifact is there already; ``describe`` as in `write_artifact`."""
        folder, own = self._made(runs, sections, parents)
        return write_artifact(folder, self.name, parents, lambda aside: self.fill(aside, own, parents), describe)

    def join(self, runs: Path, sections: Sections, parents: Mapping[str, Artifact]) -> None:
        """Take part in the ``run`` of a chief in another process."""
        assert self.take_part is not None
        folder, own = self._made(runs, sections, parents)
        self.take_part(aside_of(folder), own, parents)

    def _made(self, runs: Path, sections: Sections, parents: Mapping[str, Artifact]) -> tuple[Path, Sections]:
        """The run folder, and the sections that the stage reads."""
        pins = {name: artifact.digest for name, artifact in parents.items()}
        return self.folder(runs, sections, pins), {name: sections[name] for name in self.sections}
