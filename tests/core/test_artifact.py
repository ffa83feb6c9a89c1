"""Files that a stage keeps beside its run folder until it is finished."""

import os
from pathlib import Path

import pytest

from cascade.core.artifact import MANIFEST, RESUME, Artifact, path_beside, write_artifact
from cascade.core.errors import ArtifactError


def test_files_beside_survive_a_failure_and_are_removed_at_the_end(tmp_path):
    kept, tries = tmp_path / "run.resume", []

    def fill(folder):
        tries.append(path_beside(folder, RESUME))
        kept.mkdir(exist_ok=True)
        (kept / "state").touch()
        if len(tries) == 1:
            raise KeyboardInterrupt
        (folder / "made").touch()

    with pytest.raises(KeyboardInterrupt):
        write_artifact(tmp_path / "run", "kind", {}, fill)
    assert (kept / "state").is_file() and not (tmp_path / "run").exists()
    write_artifact(tmp_path / "run", "kind", {}, fill)
    assert (tmp_path / "run" / "made").is_file() and not kept.exists()
    assert tries == [kept, kept]


@pytest.mark.parametrize("name", ["run", ".run.1", f"run.{os.getpid()}"], ids=["finished", "of another", "no dot"])
def test_other_folders_have_nothing_beside(name):
    assert path_beside(Path("/runs") / name, RESUME) is None


@pytest.mark.parametrize("text", ["", '{"kind": "e', "[]", "{}", "null"])
def test_a_damaged_manifest_is_named(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ArtifactError, match=f"{MANIFEST}: damaged .*; delete its folder"):
        Artifact.load(tmp_path, "kind")


def test_a_file_that_was_changed_is_noticed(tmp_path):
    def fill(folder):
        (folder / "table").write_bytes(b"12345")

    artifact = write_artifact(tmp_path / "a", "toy", {}, fill)
    artifact.check_content()
    (tmp_path / "a" / "table").write_bytes(b"12346")
    assert Artifact.load(tmp_path / "a").whole
    with pytest.raises(ArtifactError, match="a: a file has changed since it was written; delete this folder"):
        artifact.check_content()
