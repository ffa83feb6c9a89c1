"""What can be removed from a folder of runs: all that no pipeline's last run and no published release needs."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config.pipeline import PipelineConfig
from ..core.artifact import RESUME, Artifact
from ..core.errors import ArtifactError, ConfigError
from ..ensemble.config import ExportConfig
from ..ensemble.protocol.release_names import RELEASE
from ..ensemble.repository.release import ReleaseManifest
from ..rollout.releases.live_set import LiveSets
from ..rollout.releases.store import ReleaseStore
from .last_run import noted, pipelines
from .leftovers import leftovers, remove, running_alone
from .stages import STAGES, plan

_RUN = re.compile("[0-9a-f]{12}")
"""Name of a run folder."""
Key = tuple[str, str]
"""A stage and the digest of one of its artifacts."""


@dataclass(frozen=True)
class Removable:
    """A file or folder that nothing needs."""

    path: Path
    size: int
    """Bytes; files that other folders share, as hard links, are counted in each."""
    why: str


def removable(config: PipelineConfig | None, runs: Path) -> list[Removable]:
    """What nothing needs.

    Needed are the artifacts of the config, those of every pipeline's last run, those of the releases that the config's
    model repository serves or that are live in it, and all that these were made from.

    Args:
        config: None if there is none; then no model repository is looked at.

    Raises:
        ArtifactError: the note of a last run or a release is damaged, so it is not known what is needed.
        ReleaseError: so is the live set.
    """
    artifacts, broken = _artifacts(runs)
    needed = _with_parents(_wanted(config, runs, artifacts), artifacts)
    found = [(path, "a run that was killed left it") for path in leftovers(runs)]
    found += [(path, "its manifest is missing or damaged") for path in broken]
    for path, artifact in artifacts.items():
        if (artifact.kind, artifact.digest) not in needed:
            found.append((path, "no pipeline's last run and no release needs it"))
    found += [(path, "checkpoints of a run that did not finish") for path in _checkpoints(config, runs)]
    return [Removable(path, sum(file.stat().st_size for file in _files(path)), why) for path, why in sorted(found)]


def freed(found: Sequence[Removable]) -> int:
    """Bytes of disk that become free if all of it is removed: a file is kept by a hard link elsewhere."""
    links: Counter[tuple[int, int]] = Counter()
    stats = {}
    for entry in found:
        for file in _files(entry.path):
            stat = file.stat()
            links[stat.st_dev, stat.st_ino] += 1
            stats[stat.st_dev, stat.st_ino] = stat
    return sum(stat.st_blocks * 512 for key, stat in stats.items() if links[key] == stat.st_nlink)


def clean(config: PipelineConfig | None, runs: Path, *, dry: bool) -> list[Removable]:
    """Remove what `removable` finds; returns it. Runs that start meanwhile wait.

    Args:
        dry: remove nothing.

    Raises:
        ConfigError: a run in this folder is going on, whose artifacts nothing seems to need yet.
        ArtifactError: as `removable`.
    """
    with running_alone(runs) as alone:
        if not alone:
            raise ConfigError(f"{runs}: a run is going on here; wait for its end, then clean")
        found = removable(config, runs)
        for entry in [] if dry else found:
            remove(entry.path)
            if not entry.path.name.startswith("."):
                remove(entry.path.with_name(f"{entry.path.name}.json"))  # the record of a run beside its folder
    return found


def _artifacts(runs: Path) -> tuple[dict[Path, Artifact], list[Path]]:
    """Run folder -> its artifact, and the run folders whose manifest cannot be read."""
    found, broken = {}, []
    for stage in STAGES:
        for path in sorted(runs.glob(f"{stage}/[!.]*")):
            if not path.is_dir() or not _RUN.fullmatch(path.name):
                continue  # checkpoints, or what a stage keeps for later runs
            try:
                found[path] = Artifact.load(path, stage)
            except ArtifactError:
                broken.append(path)
    return found, broken


def _wanted(config: PipelineConfig | None, runs: Path, artifacts: Mapping[Path, Artifact]) -> set[Key]:
    """The artifacts that somebody wants for themselves."""
    last = [runs / stage / name for each in pipelines(runs) for stage, name in noted(runs, each).items()]
    rows = [] if config is None else plan(config, runs)
    current = [row.folder for row in rows if row.up_to_date and row.folder is not None]
    keys = {(artifacts[path].kind, artifacts[path].digest) for path in (*last, *current) if path in artifacts}
    if config is not None:
        for file in Path(config.export.repository).glob(f"*/*/{RELEASE}"):
            release = ReleaseManifest.load(file)
            keys |= set(release.parts.items())
        keys |= _parts_of_live_releases(config.export)
    return keys


def _parts_of_live_releases(export: ExportConfig) -> set[Key]:
    """The artifacts that the stable and the previous release were made from."""
    place = Path(export.repository), export.model_name
    live, store = LiveSets(*place).read(), ReleaseStore(*place)
    return {part for release in (live.releases if live else ()) for part in store.read(release).parts.items()}


def _with_parents(wanted: Iterable[Key], artifacts: Mapping[Path, Artifact]) -> set[Key]:
    """``wanted`` and what it was made from."""
    parents = {(artifact.kind, artifact.digest): set(artifact.parents.items()) for artifact in artifacts.values()}
    needed: set[Key] = set()
    queue = [*wanted]
    while queue:
        key = queue.pop()
        if key not in needed:
            needed.add(key)
            queue += parents.get(key, ())
    return needed


def _checkpoints(config: PipelineConfig | None, runs: Path) -> list[Path]:
    """Checkpoints of runs that were killed, but for those that the next run of the config goes on from."""
    rows = [] if config is None else plan(config, runs)
    next_runs = {row.folder for row in rows if not row.up_to_date}
    found = [path for stage in STAGES for path in runs.glob(f"{stage}/*{RESUME}")]
    return [path for path in found if path.with_name(path.name.removesuffix(RESUME)) not in next_runs]


def _files(path: Path) -> list[Path]:
    """``path`` itself, or the files in it."""
    files = [path, *(Path(folder, name) for folder, _, names in os.walk(path) for name in names)]
    return [file for file in files if file.is_file() and not file.is_symlink()]
