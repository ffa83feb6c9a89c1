"""A release whose files are empty, cut off or missing: one error that names the folder, whichever file it is."""

import shutil

import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.repository.digests import DIGESTS
from cascade.testing.miniature import miniature_repository


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release")
    miniature_repository(folder)
    return folder / "cascade" / "1"


@pytest.mark.parametrize("damage", ["empty", "cut off", "missing"])
def test_every_damaged_file_is_an_error_that_names_its_folder(version, tmp_path, damage):
    files = (file for file in version.rglob("*") if file.is_file() and file.name not in ("model.py", DIGESTS))
    names = [file.relative_to(version) for file in files]
    assert len(names) > 10
    for at, name in enumerate(names):
        copy = tmp_path / str(at) / "cascade" / "1"
        shutil.copytree(version, copy)
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        if damage != "missing":
            (copy / name).write_bytes(content[: len(content) // 2] if damage == "cut off" else b"")
        with pytest.raises(ArtifactError, match=rf"{at}/cascade/1") as found:
            Executor.load(copy, replace={"lookup_user": None})
        assert "\n" not in str(found.value), name
