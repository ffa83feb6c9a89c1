"""Builds a catalogue of any size for load tests: trains a small synthetic shop, then widens its catalogue.

The cost of a request depends on the size of the tables and of the index, not on how well the embeddings are trained.
The stages index and export run as for any pipeline.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.artifact import MANIFEST, Artifact, write_artifact
from ...core.errors import ConfigError
from ...core.files import link_or_copy
from .widening import Widening

if TYPE_CHECKING:
    from ...config.pipeline import PipelineConfig
    from ...core.stage import Stage

SHOP = Path(__file__).parents[1] / "shop.yaml"


@dataclass(frozen=True)
class WidenedShop:
    """A pipeline with a widened catalogue: its config, and the artifact of each stage."""

    config: PipelineConfig
    artifacts: Mapping[str, Artifact]


def build(items: int, folder: Path, feature_repo: Path) -> WidenedShop:
    """Train the shop, widen it to ``items`` items, build its index and export it. Finished artifacts are reused.

    Args:
        folder: for all artifacts.
        feature_repo: a Feast repository whose definitions are copied.

    Raises:
        ConfigError: if ``items`` is less than the number of items of the shop.
    """
    from ...config.load import config_with_origins
    from ...ensemble.repository.stage import EXPORT
    from ...models.index.stage import INDEX
    from ...pipeline.stages import run

    own = {"feature_store.repo": folder / "feature_repo", "export.repository": folder / f"model_repository-{items}"}
    config, _ = config_with_origins(SHOP, [f"{key}={value}" for key, value in own.items()], {})
    shop = config.data.synthetic.items or 0
    if items < shop:
        raise ConfigError(f"--items: expected at least {shop}, the size of the shop that is widened, got {items}")
    ignored = shutil.ignore_patterns("data", "__*")
    shutil.copytree(feature_repo, own["feature_store.repo"], ignore=ignored, dirs_exist_ok=True)
    done = run(config, folder / "runs", ["features", "ranker"])

    runs = folder / f"runs-{items}"
    widening = Widening(done["etl"].path, items, config.data.synthetic.seed)
    _widen(runs, done, "data", (), widening.write_data)
    _widen(runs, done, "features", ("data",), _copy)
    _widen(runs, done, "etl", ("data",), widening.write_etl)
    _widen(runs, done, "two_tower", ("etl",), widening.write_models)
    _run(runs, done, INDEX, config)
    _widen(runs, done, "ranker", ("data", "etl", "two_tower", "index"), widening.write_models)
    _run(runs, done, EXPORT, config)
    return WidenedShop(config, done)


def _widen(
    runs: Path, done: dict[str, Artifact], kind: str, parents: tuple[str, ...], write: Callable[[Path, Path], None]
) -> None:
    """Replace the artifact of stage ``kind`` in ``done`` by a widened copy."""
    old = done[kind]
    path = runs / kind / old.digest[:12]
    if (path / MANIFEST).is_file():
        done[kind] = Artifact.load(path, kind)
        return

    def fill(folder: Path) -> Mapping[str, object]:
        write(old.path, folder)
        return old.metrics

    done[kind] = write_artifact(path, kind, {name: done[name] for name in parents}, fill)


def _copy(old: Path, folder: Path) -> None:
    """The same files, as an artifact of other parents."""
    for path in old.iterdir():
        if path.name != MANIFEST:
            link_or_copy(path, folder / path.name)


def _run(runs: Path, done: dict[str, Artifact], stage: Stage, config: PipelineConfig) -> None:
    """Run a stage on the artifacts in ``done``, unless it is up to date, and add its artifact."""
    sections = {key: config.section(key) for key in stage.sections}
    parents = {name: done[name] for name in stage.parents}
    pins = {name: artifact.digest for name, artifact in parents.items()}
    done[stage.name] = stage.find(runs, sections, pins) or stage.run(runs, sections, parents)
    if stage.publish is not None:
        stage.publish(done[stage.name], sections)
