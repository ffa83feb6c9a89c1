"""The miniature release, opened as users open it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import cascade
from cascade.testing.miniature import Miniature, miniature_repository


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Miniature]:
    """The model repository of the miniature, ids are numbers, and what it was made of; not to be changed."""
    folder = tmp_path_factory.mktemp("api") / "models"
    return folder, miniature_repository(folder)


@pytest.fixture(scope="session")
def mini_of_text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with ids of text."""
    folder = tmp_path_factory.mktemp("api-text") / "models"
    miniature_repository(folder, string_ids=True)
    return folder


@pytest.fixture
def release(mini: tuple[Path, Miniature]) -> Iterator[cascade.Release]:
    with cascade.open_release(mini[0]) as opened:
        yield opened
