"""What killed runs leave, and what nothing needs: found by locks and by digests, removed when no run goes on."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from release_exports import write_export
from waiting import wait_until

from cascade.config.pipeline import PipelineConfig
from cascade.core.artifact import Artifact
from cascade.core.errors import ArtifactError, ConfigError, DiskError, ReleaseError
from cascade.core.files import locked
from cascade.core.stage import Stage
from cascade.ensemble.repository.release import ReleaseManifest
from cascade.pipeline import stages
from cascade.pipeline.clean import clean, freed, removable
from cascade.pipeline.leftovers import leftovers, lock_file, running
from cascade.pipeline.stages import run
from cascade.rollout.releases.live_set import LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore


def config(repository: Path, topk: int = 200, **sections: Any) -> PipelineConfig:
    """Each ``topk`` makes other artifacts of etl and export."""
    own = {"export": {"repository": str(repository)}, "serving": {"ann": {"topk": topk}, "rerank": {"k": 5}}}
    return PipelineConfig.model_validate({"schema": {"sparse": ["user_id", "item_id"]}, **own, **sections})


@pytest.fixture(autouse=True)
def small_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """data -> etl -> export; the content of each is its settings."""

    def fill(folder: Path, sections: Mapping[str, Any], parents: Mapping[str, Artifact]) -> None:
        (folder / "out.txt").write_text(f"{sections} {sorted(parents)}")

    made = (
        Stage("data", "first", ["data"], [], fill),
        Stage("etl", "second", ["serving.ann"], ["data"], fill),
        Stage("export", "third", ["schema"], ["data", "etl"], fill),
    )
    monkeypatch.setattr(stages, "all_stages", lambda: made)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "models"


def names(found: Any) -> set[str]:
    return {str(entry.path.relative_to(entry.path.parents[1])) for entry in found}


def place(artifact: Artifact) -> str:
    return f"{artifact.kind}/{artifact.path.name}"


def test_what_no_last_run_needs_can_go(runs: Path, repository: Path) -> None:
    first = run(config(repository, 100), runs)
    second = run(config(repository, 50), runs)
    assert first["data"] == second["data"]
    found = removable(config(repository, 50), runs)
    assert names(found) == {place(first["etl"]), place(first["export"])}
    assert {entry.why for entry in found} == {"no pipeline's last run and no release needs it"}
    assert freed(found) == sum(
        file.stat().st_blocks * 512 for entry in found for file in entry.path.rglob("*") if file.is_file()
    )
    assert clean(config(repository, 50), runs, dry=True) == found and first["etl"].path.is_dir()
    assert clean(config(repository, 50), runs, dry=False) == found
    assert not first["etl"].path.exists() and not first["etl"].path.with_name(f"{first['etl'].path.name}.json").exists()
    assert removable(config(repository, 50), runs) == []
    assert run(config(repository, 50), runs) == second


@pytest.mark.slow
def test_the_last_run_of_every_pipeline_stays(runs: Path, repository: Path) -> None:
    for name, topk in (("shop", 100), ("books", 50)):
        run(config(repository, topk, feature_store={"project": name}), runs)
    assert removable(None, runs) == []
    assert removable(config(repository, 100, feature_store={"project": "shop"}), runs) == []


@pytest.mark.slow
def test_the_artifacts_of_the_config_stay_although_another_config_ran_last(runs: Path, repository: Path) -> None:
    ours = run(config(repository, 100), runs)
    run(config(repository, 50), runs)
    assert removable(config(repository, 100), runs) == []
    assert names(removable(None, runs)) == {place(ours["etl"]), place(ours["export"])}


@pytest.mark.slow
def test_what_a_published_release_was_made_from_stays(runs: Path, repository: Path) -> None:
    old = run(config(repository, 100), runs)
    run(config(repository, 50), runs)
    version = repository / "cascade" / "1"
    version.mkdir(parents=True)
    parts = {"etl": old["etl"].digest}
    ReleaseManifest("aaaa", "2026-01-01T00:00:00+00:00", "cascade", "shop", parts).save(version / "release.json")
    assert names(removable(config(repository, 50), runs)) == {place(old["export"])}
    (version / "release.json").write_text("{")
    with pytest.raises(ArtifactError, match="release.json: damaged"):
        removable(config(repository, 50), runs)


def test_what_live_releases_were_made_from_stays(runs: Path, repository: Path, tmp_path: Path) -> None:
    export = {"repository": str(repository), "model_name": "shop"}
    made = [run(config(repository, topk, export=export), runs) for topk in (100, 90, 80, 50)]
    store, live = ReleaseStore(repository, "shop"), LiveSets(repository, "shop")
    for at, release in enumerate("abc"):
        write_export(tmp_path / release, release, parts={"etl": made[at]["etl"].digest})
        store.add(tmp_path / release)
    live.change(lambda _: LiveSet("a", "b"), actor="test", reason="")
    found = names(removable(config(repository, 50, export=export), runs))
    assert found == {place(made[2]["etl"]), *(place(each["export"]) for each in made[:3])}
    live.file.write_text("{")
    with pytest.raises(ReleaseError, match="live.json: damaged"):
        removable(config(repository, 50, export=export), runs)


@pytest.mark.slow
def test_files_that_are_linked_elsewhere_free_nothing(runs: Path, repository: Path, tmp_path: Path) -> None:
    old = run(config(repository, 100), runs)
    run(config(repository, 50), runs)
    before = freed(removable(None, runs))
    os.link(old["etl"].path / "out.txt", tmp_path / "elsewhere")
    after = freed(removable(None, runs))
    assert before - after == (tmp_path / "elsewhere").stat().st_blocks * 512 > 0


@pytest.mark.slow
def test_a_folder_without_a_manifest_and_checkpoints_can_go(runs: Path, repository: Path) -> None:
    done = run(config(repository), runs)
    for name in ("0123456789ab", "0123456789ab.resume"):
        (runs / "etl" / name).mkdir()
    (done["export"].path / "manifest.json").write_text("{")
    found = {entry.path.name: entry.why for entry in removable(config(repository), runs)}
    assert found == {
        "0123456789ab": "its manifest is missing or damaged",
        "0123456789ab.resume": "checkpoints of a run that did not finish",
        done["export"].path.name: "its manifest is missing or damaged",
    }


@pytest.mark.slow
def test_what_a_stage_keeps_for_later_runs_stays(runs: Path, repository: Path) -> None:
    run(config(repository), runs)
    kept = runs / "evaluation" / "tuning"
    kept.mkdir(parents=True)
    (kept / "ease-0123.json").write_text("{}")
    assert clean(config(repository), runs, dry=False) == []
    assert (kept / "ease-0123.json").exists()


@pytest.mark.slow
def test_checkpoints_that_the_next_run_goes_on_from_stay(runs: Path, repository: Path) -> None:
    done = run(config(repository), runs)
    shutil.rmtree(done["etl"].path)
    done["etl"].path.with_name(f"{done['etl'].path.name}.resume").mkdir()
    assert all(entry.path.parent.name == "export" for entry in removable(config(repository), runs))


@pytest.mark.slow
def test_nothing_is_removed_or_shown_while_a_run_goes_on(runs: Path, repository: Path) -> None:
    run(config(repository), runs)
    with running(runs), running(runs):  # runs share it
        for dry in (True, False):
            with pytest.raises(ConfigError, match="runs: a run is going on here; wait for its end"):
                clean(config(repository), runs, dry=dry)
    assert clean(config(repository), runs, dry=False) == []


def left_behind(runs: Path, key: str) -> list[Path]:
    """What a process that is killed can leave of a run folder."""
    folder = runs / "etl"
    folder.mkdir(parents=True, exist_ok=True)
    # 1 is the number of a process that exists: numbers are used again
    made = [folder / f".{key}.{end}" for end in ("1", "99999", "99999.old")]
    for path in made:
        (path / "half").mkdir(parents=True)
    record = folder / f".{key}.json.99999"
    record.touch()
    return [*made, record]


def test_the_next_run_removes_what_killed_runs_left(runs: Path, repository: Path) -> None:
    left = left_behind(runs, "0123456789ab")
    others = [runs / "etl" / ".notes", runs / ".last" / ".0123456789abc.1"]
    for path in others:
        path.mkdir(parents=True)
    assert leftovers(runs) == sorted(left)
    run(config(repository), runs, only=["data"])
    assert not any(path.exists() for path in left) and all(path.exists() for path in others)


def test_what_another_process_is_writing_stays(runs: Path, repository: Path) -> None:
    left, written = left_behind(runs, "0123456789ab"), left_behind(runs, "ba9876543210")
    with locked(lock_file(runs, "etl", "ba9876543210")):
        run(config(repository), runs, only=["data"])
        assert not any(path.exists() for path in left) and all(path.exists() for path in written)
    run(config(repository), runs, only=["data"])
    assert not any(path.exists() for path in written)


KILLED = """
import sys, time
from pathlib import Path
from cascade.config.pipeline import PipelineConfig
from cascade.core.stage import Stage
from cascade.pipeline.stages import run

def fill(folder, sections, parents):
    (folder / "half").write_text("x")
    print("writing", flush=True)
    time.sleep(600)

run(PipelineConfig.model_validate({"schema": {"sparse": ["user_id", "item_id"]}}), Path(sys.argv[1]),
    stages=[Stage("data", "first", ["data"], [], fill)])
"""


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_what_the_next_one_removes(runs: Path, repository: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, runs], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    [half] = (runs / "data").glob(".*")
    with pytest.raises(ConfigError, match="a run is going on"):
        clean(config(repository), runs, dry=True)
    assert leftovers(runs) == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_until(lambda: leftovers(runs) == [half])
    assert [entry.why for entry in clean(None, runs, dry=True)] == ["a run that was killed left it"]
    run(config(repository), runs)
    assert not half.exists()


def test_a_full_disk_in_a_stage_is_one_line_and_leaves_nothing(runs: Path, repository: Path) -> None:
    def fill(folder: Path, sections: Any, parents: Any) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with pytest.raises(
        DiskError, match=r"^stage data: .*/runs: the disk is full, .* are free without what was half-written: free some"
    ):
        run(config(repository), runs, stages=[Stage("data", "first", ["data"], [], fill)])
    assert list((runs / "data").iterdir()) == []
