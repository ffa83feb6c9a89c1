"""Which pipeline a model of the repository belongs to, so that no other one replaces it unnoticed.

The name of a pipeline comes from its config file, so pipelines in two folders can have the same one. The folder of
their runs tells them apart.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.artifact import Artifact
from ...core.errors import ArtifactError, ConfigError
from ...core.files import write_text
from ..protocol.release_names import RELEASE
from .release import ReleaseManifest

OWNER = ".pipeline.json"
"""File in a model's folder."""


@dataclass(frozen=True)
class Owner:
    """A pipeline that publishes."""

    pipeline: str
    runs: str
    """Absolute path of the folder of its runs."""

    @classmethod
    def of(cls, pipeline: str, artifact: Artifact) -> Owner:
        """The owner of an artifact that lies in ``<runs>/<stage>/<hash>``."""
        return cls(pipeline, str(artifact.path.resolve().parents[1]))

    def save(self, model: Path) -> None:
        """Write it into the folder ``model``, at once for those who read it meanwhile."""
        if owner_of(model) != self:
            model.mkdir(parents=True, exist_ok=True)
            write_text(model / OWNER, json.dumps(asdict(self), indent=1) + "\n")


def owner_of(model: Path) -> Owner | None:
    """The owner of the model in the folder ``model``; None if nobody has noted one.

    Raises:
        ArtifactError: the note is damaged.
    """
    file = model / OWNER
    try:
        return Owner(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ArtifactError(f"{file}: damaged ({error}); delete this file, and run again") from error


def check_owner(model: Path, own: Owner) -> None:
    """Check that the model in the folder ``model``, if there is one, belongs to this pipeline.

    Raises:
        ConfigError: it belongs to another one; says how to publish beside it, or in its place.
        ArtifactError: its release is damaged.
    """
    noted = owner_of(model)
    if noted is not None and noted.pipeline == own.pipeline and noted.runs != own.runs:
        raise ConfigError(
            f"export.model_name: {model} was published by a pipeline that is also called {own.pipeline!r}, from "
            f"{noted.runs}; this one has its runs in {own.runs}. {_WAYS_OUT}"
        )
    names = {model: noted.pipeline} if noted else _pipelines_of_releases(model)
    for folder, name in names.items():
        if name != own.pipeline:
            raise ConfigError(
                f"export.model_name: {folder} is a release of the pipeline {name!r}, this is {own.pipeline!r}. "
                f"{_WAYS_OUT}"
            )


def _pipelines_of_releases(model: Path) -> dict[Path, str]:
    """Folder of a version -> the pipeline that its release names."""
    return {file.parent: ReleaseManifest.load(file).pipeline for file in sorted(model.glob(f"*/{RELEASE}"))}


_WAYS_OUT = (
    "Give this one another export.model_name or export.repository; or, if it shall replace what is there, add "
    "--take-over to `cascade run`"
)
