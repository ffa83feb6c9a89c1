"""The length of the store's path: refused exactly where sqlite cannot open it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from cascade.core.errors import FeatureStoreError
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features.connection import data_folder
from cascade.workflows.features.online import LONGEST_DATABASE, ONLINE_FILE, check_length


def repo_of(base: Path, size: int, letter: str = "x") -> Path:
    """A folder in which the path of the store has ``size`` bytes."""
    left = size - len(os.fsencode(base / ONLINE_FILE))
    parts = [letter * ((count - 1) // len(letter.encode())) for count in [101] * (left // 101 - 1)]
    rest = left - sum(1 + len(os.fsencode(part)) for part in parts)
    return base.joinpath(*parts, "y" * (rest - 1))


@pytest.mark.parametrize("letter", ["x", "ä"])
@pytest.mark.parametrize("size", [LONGEST_DATABASE, LONGEST_DATABASE + 1, LONGEST_DATABASE + 100])
def test_the_limit_is_sqlite_s(tmp_path: Path, size: int, letter: str) -> None:
    repo = repo_of(tmp_path, size, letter)
    file = repo / ONLINE_FILE
    file.parent.mkdir(parents=True)
    assert len(os.fsencode(file)) == size
    if size <= LONGEST_DATABASE:
        check_length(repo)
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("create table x (y)")
        return
    with pytest.raises(sqlite3.Error):
        sqlite3.connect(file).execute("create table x (y)")
    (tmp_path / "link").symlink_to(repo)
    for folder in (repo, tmp_path / "link"):  # sqlite follows links
        with pytest.raises(FeatureStoreError, match=rf"feature_store.repo: .* 504 bytes, {file} has {size}: set"):
            data_folder(FeatureStoreConfig(repo=str(folder), project="shop"))
    data_folder(FeatureStoreConfig(repo=str(repo), project="shop", online="redis"))
