"""Stages: each makes one artifact from config sections and parent artifacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .artifact import Artifact, unfinished_path, write_artifact
from .errors import ArtifactError, DataError
from .inputs import Inputs, StageInput
from .memory import MemoryNeed
from .section import Section, stored

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
    unpublished: Callable[[Artifact, Sections], Sequence[str]] | None = None
    """How what is published differs from the artifact, in words; empty if ``publish`` would change nothing."""
    inputs: Callable[[Sections], Inputs] | None = None
    """What it reads beside sections and parents; a change runs the stage again."""
    check_inputs: Callable[[Sections], None] | None = None
    """Called with (sections): raises what the stage would refuse as far as the names of files and columns tell, without
    reading a row."""
    check: Callable[[Sections, Mapping[str, Artifact]], None] | None = None
    """Called with (sections, the artifacts that there are: data, etl and perhaps more) before anything is trained, to
    raise what would stop the stage later."""
    memory: Callable[[Sections, Mapping[str, Artifact]], MemoryNeed] | None = None
    """Called with (sections, parents) before the stage runs: the memory that it will take, if that depends on the
    data."""
    take_part: Callable[[Path, Sections, Mapping[str, Artifact]], None] | None = None
    """The training part of ``fill``, for workers that are not the chief. It writes nothing."""

    def key(self, sections: Sections, parents: Mapping[str, str]) -> str:
        """Name of the run folder: a hash of the stage's sections and inputs, its version and its parents' digests."""
        pins: dict[str, Any] = {name: stored(sections[name]) for name in self.sections}
        if inputs := self.inputs_of(sections):
            pins["inputs"] = {name: entry.digest for name, entry in inputs.items()}
        text = json.dumps([self.name, self.version, pins, dict(parents)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def inputs_of(self, sections: Sections) -> Inputs:
        """What the stage reads beside sections and parents, as it is now."""
        return {} if self.inputs is None else self.inputs(sections)

    def folder(self, runs: Path, sections: Sections, parents: Mapping[str, str]) -> Path:
        """The run folder for these inputs."""
        return runs / self.name / self.key(sections, parents)

    def find(self, runs: Path, sections: Sections, parents: Mapping[str, str]) -> Artifact | None:
        """The finished artifact for these inputs; None if there is none, or files of it are gone or cut off."""
        try:
            artifact = Artifact.load(self.folder(runs, sections, parents), self.name)
        except ArtifactError:  # no manifest, or one that is cut off
            return None
        return artifact if artifact.whole else None

    def run(
        self,
        runs: Path,
        sections: Sections,
        parents: Mapping[str, Artifact],
        describe: Callable[[Artifact], None] | None = None,
    ) -> Artifact:
        """Run the stage, even if its artifact exists. ``describe`` is that of `write_artifact`."""
        folder, own = self._folder_and_sections(runs, sections, parents)
        before = self.inputs_of(own)

        def fill(path: Path) -> Mapping[str, Any] | None:
            metrics = self.fill(path, own, parents)
            self._check_unchanged(before, self.inputs_of(own))
            return metrics

        return write_artifact(folder, self.name, parents, fill, describe)

    def join(self, runs: Path, sections: Sections, parents: Mapping[str, Artifact]) -> None:
        """Take part in the training of a chief that runs this stage in another process."""
        assert self.take_part is not None
        folder, own = self._folder_and_sections(runs, sections, parents)
        self.take_part(unfinished_path(folder), own, parents)

    def _check_unchanged(self, before: Inputs, after: Inputs) -> None:
        for name in sorted(before.keys() | after.keys()):
            if _digest(before, name) != _digest(after, name):
                raise DataError(f"{name}: changed while stage {self.name} read it; run the same command again")

    def _folder_and_sections(
        self, runs: Path, sections: Sections, parents: Mapping[str, Artifact]
    ) -> tuple[Path, Sections]:
        """The run folder, and the sections that the stage reads."""
        digests = {name: artifact.digest for name, artifact in parents.items()}
        return self.folder(runs, sections, digests), {name: sections[name] for name in self.sections}


def _digest(inputs: Mapping[str, StageInput], name: str) -> str | None:
    return inputs[name].digest if name in inputs else None
