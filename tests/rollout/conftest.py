"""Small exports, and a store to keep them in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from release_exports import write_export

from cascade.rollout.releases.store import ReleaseStore

Export = Callable[..., Path]


@pytest.fixture
def export(tmp_path: Path) -> Export:
    """``export(release, ...)``: the folder of an artifact, see `write_export`."""

    def make(release: str, *arguments: Any, **options: Any) -> Path:
        runs = tmp_path / "runs" / "export"
        folder = runs / f"{release}{len(list(runs.glob('*')))}"
        write_export(folder, release, *arguments, **options)
        return folder

    return make


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def store(repository: Path) -> ReleaseStore:
    return ReleaseStore(repository, "shop")
