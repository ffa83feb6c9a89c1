"""Pipelines that have run to the end, each built once for the whole test session."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cascade.core.artifact import Artifact

REPOSITORY = Path(__file__).resolve().parent.parent
ASSETS = Path(__file__).resolve().parent / "assets"


@dataclass(frozen=True)
class Pipeline:
    """A finished run in a folder of its own: config file, runs/, feature_repo/ and model_repository/."""

    folder: Path
    config_file: Path
    config: Any
    """A `PipelineConfig`."""
    artifacts: Mapping[str, Artifact]

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def feature_repo(self) -> Path:
        return self.folder / "feature_repo"

    @property
    def model_repository(self) -> Path:
        return self.folder / "model_repository"

    @property
    def environment(self) -> dict[str, str]:
        """What makes any process find this pipeline's stores, wherever it runs."""
        return {
            "CASCADE_CONFIG": str(self.config_file),
            "CASCADE_RUNS": str(self.runs),
            "CASCADE_FEATURE_REPO": str(self.feature_repo),
            "CASCADE_FEATURE_STORE__REPO": str(self.feature_repo),
            "CASCADE_EXPORT__REPOSITORY": str(self.model_repository),
        }

    @property
    def version_folder(self) -> Path:
        """The served version in the model repository."""
        export = self.config.export
        return self.model_repository / export.model_name / str(export.version)

    @property
    def metrics(self) -> dict[str, Any]:
        """What the evaluation stage measured."""
        loaded: dict[str, Any] = json.loads((self.artifacts["evaluation"].path / "metrics.json").read_text())
        return loaded


Build = Callable[[str, Path], Pipeline]


@pytest.fixture(scope="session")
def build_pipeline(worker_root: Path) -> Build:
    """``build_pipeline(name, config_file)``: run every stage in a folder ``name`` that all test workers share."""

    def build(name: str, source: Path) -> Pipeline:
        from cascade.config.load import config_with_origins
        from cascade.pipeline.stages import run

        folder = worker_root / name
        folder.mkdir(exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            config_file = folder / source.name
            if not config_file.exists():
                shutil.copytree(
                    REPOSITORY / "feature_repo", folder / "feature_repo", ignore=shutil.ignore_patterns("data", "__*")
                )
                shutil.copy(source, config_file)
            own = {"feature_store.repo": folder / "feature_repo", "export.repository": folder / "model_repository"}
            config, _ = config_with_origins(config_file, [f"{key}={value}" for key, value in own.items()], {})
            return Pipeline(folder, config_file, config, run(config, folder / "runs"))

    return build


@pytest.fixture(scope="session")
def worker_root(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder that all workers of this test session share."""
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if hasattr(request.config, "workerinput") else base) / "pipelines"
    root.mkdir(exist_ok=True)
    return root


@pytest.fixture(scope="session")
def movielens(build_pipeline: Build) -> Pipeline:
    """MovieLens 100k with the default pipeline.yaml."""
    return build_pipeline("movielens", REPOSITORY / "pipeline.yaml")


@pytest.fixture(scope="session")
def shop(build_pipeline: Build) -> Pipeline:
    """The synthetic shop, 10,000 interactions, with the guide's sections as they are."""
    return build_pipeline("shop", ASSETS / "shop.yaml")


@pytest.fixture(scope="session")
def strings(build_pipeline: Build, worker_root: Path) -> Pipeline:
    """Interactions alone, ids of strings, order instead of time."""
    tables = worker_root / "strings" / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    write_string_interactions(tables / "interactions.csv")
    return build_pipeline("strings", ASSETS / "strings.yaml")


def write_string_interactions(file: Path) -> None:
    """40 users of two tastes among 30 items, 9 items each."""
    import numpy as np

    rng = np.random.default_rng(0)
    lines = ["user_id,item_id,timestamp"]
    for user in range(40):
        taken = rng.permutation(15)[:9] + 15 * (user % 2)
        lines += [f"user-{user:02d},item/{item:02d},{len(lines) + at}" for at, item in enumerate(taken)]
    file.write_text("\n".join(lines) + "\n")
