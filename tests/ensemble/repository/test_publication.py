"""What is published against what is built: every difference is seen, said and repaired."""

import os
import shutil
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from cascade.core.artifact import Artifact, write_artifact
from cascade.core.errors import ArtifactError, ConfigError
from cascade.core.files import LINK_FROM, locked
from cascade.ensemble.config import ExportConfig
from cascade.ensemble.repository.digests import write_digests
from cascade.ensemble.repository.model_config import of_version
from cascade.ensemble.repository.owner import OWNER, Owner, owner_of
from cascade.ensemble.repository.publication import LOCK, differences, publish, take_over
from cascade.ensemble.repository.release import ReleaseManifest

BIG = "nodes/03_retrieve/item_vectors.npy"
FILES = ("release.json", "graph.json", "model.py", BIG)


def export(runs: Path, release: str = "aaaa", version: int = 1, pipeline: str = "shop") -> Artifact:
    """An export artifact of one model, cascade."""

    def fill(folder: Path) -> None:
        place = folder / "cascade" / str(version)
        (place / BIG).parent.mkdir(parents=True)
        for name in FILES[1:]:
            (place / name).write_bytes(f"{name} of {release}".encode().ljust(LINK_FROM if name == BIG else 1, b" "))
        ReleaseManifest(release, "2026-01-01T00:00:00+00:00", "cascade", pipeline, {}).save(place / "release.json")
        text = of_version('name: "cascade"', version)
        write_digests(place, text)
        (folder / "cascade" / "config.pbtxt").write_text(text)

    return write_artifact(runs / "export" / f"{release}-{version}", "export", {}, fill)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "models"


def config(place: Path, version: int = 1) -> ExportConfig:
    return ExportConfig(repository=str(place), version=version)


def put(artifact: Artifact, place: Path, version: int = 1, pipeline: str = "shop") -> bool:
    return publish(artifact, config(place, version), Owner.of(pipeline, artifact))


def content(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_nothing_differs_after_a_publication(runs: Path, place: Path) -> None:
    artifact = export(runs)
    assert differences(artifact, config(place)) == [f"{place}/cascade is not there"]
    assert put(artifact, place) and differences(artifact, config(place)) == []
    assert content(place / "cascade" / "1") == content(artifact.path / "cascade" / "1")
    (place / "cascade" / "1" / "__pycache__").mkdir()
    (place / "cascade" / "1" / "__pycache__" / "model.cpython-311.pyc").touch()
    assert not put(artifact, place), "bytecode that Triton's Python writes is no difference"


def damage_delete(file: Path) -> str:
    file.unlink()
    return "is gone"


def damage_cut(file: Path) -> str:
    data = file.read_bytes()
    file.unlink()  # a big one is a link to the artifact's
    file.write_bytes(data[: len(data) // 2])
    return "differs"


def damage_exchange(file: Path) -> str:
    """Another file of the same size."""
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    return "differs"


@pytest.mark.parametrize("damage", [damage_delete, damage_cut, damage_exchange])
@pytest.mark.parametrize("name", [*FILES, "../config.pbtxt"])
def test_a_file_that_is_not_the_built_one_is_said_and_repaired(runs, place, name, damage) -> None:
    artifact = export(runs)
    put(artifact, place)
    what = damage(place / "cascade" / "1" / name)
    told = "; ".join(differences(artifact, config(place)))
    assert Path(name).name in told and (what in told or "config.pbtxt differs" in told)
    assert put(artifact, place) and differences(artifact, config(place)) == []
    assert content(place / "cascade" / "1") == content(artifact.path / "cascade" / "1")


def test_a_file_that_does_not_belong_to_the_release_is_removed(runs: Path, place: Path) -> None:
    artifact = export(runs)
    put(artifact, place)
    foreign = place / "cascade" / "1" / "nodes" / "03_retrieve" / "notes.txt"
    foreign.touch()
    assert differences(artifact, config(place)) == [f"{foreign} does not belong to the release"]
    assert put(artifact, place) and not foreign.exists()


def test_another_release_and_another_version_are_said_and_replaced(runs: Path, place: Path, caplog) -> None:
    caplog.set_level("INFO")
    first, second = export(runs), export(runs, "bbbb", version=2)
    put(first, place)
    put(second, place, version=2)
    assert differences(first, config(place)) == [f"{place}/cascade serves version 2, not 1"]
    assert put(first, place) and differences(first, config(place)) == []
    assert caplog.messages[-1].endswith("version 1, release aaaa, is published; before it was version 2, release bbbb")
    third = export(runs, "cccc")
    assert differences(third, config(place))[0] == f"{place}/cascade/1 holds release aaaa, not cccc"
    assert put(third, place) and differences(third, config(place)) == []


def test_many_differences_are_counted(runs: Path, place: Path) -> None:
    artifact = export(runs)
    put(artifact, place)
    for name in "pqrst":
        (place / "cascade" / "1" / name).touch()
    assert differences(artifact, config(place))[3:] == ["2 more differences"]


def test_two_pipelines_of_one_name_do_not_publish_to_one_model(tmp_path: Path, place: Path) -> None:
    ours, theirs = export(tmp_path / "ours" / "runs"), export(tmp_path / "theirs" / "runs", "bbbb")
    put(ours, place)
    with pytest.raises(
        ConfigError, match="also called 'shop', from .*/ours/runs; this one .*/theirs/runs.*--take-over"
    ):
        put(theirs, place)
    assert differences(ours, config(place)) == []
    take_over(config(place), Owner.of("shop", theirs))
    assert put(theirs, place) and differences(theirs, config(place)) == []
    with pytest.raises(ConfigError, match="from .*/theirs/runs; this one has its runs in .*/ours/runs"):
        put(ours, place)


def test_a_pipeline_of_another_name_is_refused_until_it_takes_over(runs: Path, place: Path) -> None:
    put(export(runs), place)
    other = export(runs, "bbbb", version=2, pipeline="books")
    with pytest.raises(ConfigError, match="cascade is a release of the pipeline 'shop', this is 'books'.*--take-over"):
        put(other, place, 2, "books")
    take_over(config(place), Owner.of("books", other))
    assert put(other, place, 2, "books")


def test_a_model_without_a_note_belongs_to_the_pipeline_of_its_releases(runs: Path, place: Path) -> None:
    artifact = export(runs)
    put(artifact, place)
    (place / "cascade" / OWNER).unlink()
    with pytest.raises(ConfigError, match="cascade/1 is a release of the pipeline 'shop', this is 'books'"):
        put(export(runs, "bbbb"), place, pipeline="books")
    assert not put(artifact, place) and owner_of(place / "cascade") == Owner.of("shop", artifact)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pipeline": "shop"}'])
def test_a_damaged_note_is_named(runs: Path, place: Path, text: str) -> None:
    artifact = export(runs)
    put(artifact, place)
    (place / "cascade" / OWNER).write_text(text)
    with pytest.raises(ArtifactError, match=r"\.pipeline\.json: damaged .*delete this file"):
        put(artifact, place)


def test_what_killed_publications_left_is_removed(runs: Path, place: Path) -> None:
    artifact = export(runs)
    put(artifact, place)
    for name in (".1.99999", ".1.99999.old"):
        shutil.copytree(place / "cascade" / "1", place / "cascade" / name)
    (place / "cascade" / ".config.pbtxt.99999").touch()
    (place / "cascade" / "1" / "graph.json").unlink()
    assert put(artifact, place)
    assert {file.name for file in (place / "cascade").iterdir()} == {"1", "config.pbtxt", OWNER}


def test_one_publication_waits_for_the_other(runs: Path, place: Path) -> None:
    artifact = export(runs)
    place.mkdir()
    waiting = Thread(target=put, args=(artifact, place))
    with locked(place / LOCK):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive() and not (place / "cascade").exists()
    waiting.join()
    assert differences(artifact, config(place)) == []


def test_a_publication_on_another_file_system_is_not_compared_by_reading(runs, place, monkeypatch) -> None:
    """A copy has the time of what it was copied from."""
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(18, "EXDEV")))
    artifact = export(runs)
    put(artifact, place)
    assert not (place / "cascade" / "1" / BIG).samefile(artifact.path / "cascade" / "1" / BIG)
    monkeypatch.setattr(
        "cascade.core.files.filecmp.cmp", lambda one, *_, **__: one.name != Path(BIG).name or pytest.fail("was read")
    )
    assert differences(artifact, config(place)) == []


def test_the_owner_is_the_folder_of_runs_by_its_real_path(tmp_path: Path) -> None:
    artifact = export(tmp_path / "runs")
    (tmp_path / "link").symlink_to(tmp_path / "runs")
    linked = replace(artifact, path=tmp_path / "link" / "export" / artifact.path.name)
    assert Owner.of("shop", linked) == Owner.of("shop", artifact)


def test_an_artifact_with_a_changed_file_is_not_published(runs: Path, place: Path) -> None:
    artifact = export(runs)
    file = artifact.path / "cascade" / "1" / "graph.json"
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(
        ArtifactError, match=rf"graph.json: damaged \(its content has changed\); delete {artifact.path},"
    ):
        put(artifact, place)
    assert not (place / "cascade" / "1").exists()
