"""Plan and run on a pipeline of three tiny stages: which of them run, when, and why."""

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cascade.config.pipeline import PipelineConfig
from cascade.core.artifact import Artifact
from cascade.core.errors import ArtifactError, ConfigError, DataError, FeatureStoreError
from cascade.core.inputs import file_inputs
from cascade.core.memory import MemoryNeed
from cascade.core.stage import Stage
from cascade.pipeline.stages import (
    STAGES,
    Progress,
    find,
    plan,
    run,
)

BASE: dict[str, Any] = {"schema": {"sparse": ["user_id", "item_id"]}}


def config(**sections: Any) -> PipelineConfig:
    return PipelineConfig.model_validate(BASE | sections)


class Pipeline:
    """a -> b -> c, where b reads serving.ann and c publishes; ``ran`` and ``published`` record what happened."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.published: list[str] = []
        self.salt = ""
        """Changes what ``a`` writes."""
        self.stages = (
            Stage("a", "first", ["data"], [], self.fill("a")),
            Stage("b", "second", ["serving.ann"], ["a"], self.fill("b")),
            Stage("c", "third", ["schema"], ["a", "b"], self.fill("c"), publish=self.publish),
        )

    def fill(self, name: str) -> Any:
        def write(folder: Path, sections: Mapping[str, Any], parents: Mapping[str, Artifact]) -> dict[str, Any]:
            self.ran.append(name)
            (folder / "out.txt").write_text(name + (self.salt if name == "a" else ""))
            return {"n_parents": len(parents), "sections": sorted(sections)}

        return write

    def publish(self, artifact: Artifact, sections: Mapping[str, Any]) -> None:
        self.published.append(artifact.kind)

    def run(self, runs: Path, cfg: PipelineConfig, **how: Any) -> list[str]:
        """The stages that ran."""
        self.ran = []
        run(cfg, runs, stages=self.stages, **how)
        return self.ran

    def why(self, runs: Path, cfg: PipelineConfig) -> dict[str, str]:
        return {row.stage: row.why for row in plan(cfg, runs, self.stages)}


class Unreachable(Pipeline):
    """``a`` publishes to a store that is down."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = (replace(self.stages[0], publish=self.refuse), *self.stages[1:])
        self.down = False

    def refuse(self, artifact: Artifact, sections: Mapping[str, Any]) -> None:
        if self.down:
            raise FeatureStoreError("store: down")


@pytest.mark.slow
def test_a_store_that_is_down_stops_only_what_has_to_be_published(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Unreachable()
    pipeline.run(tmp_path, config())
    pipeline.down = True
    assert pipeline.run(tmp_path, config(), only=["c"], force=True) == ["c"]
    assert caplog.messages == ["stage a is not published: store: down"]
    for more in ({"only": ["a"]}, {}):
        with pytest.raises(FeatureStoreError, match="store: down"):
            pipeline.run(tmp_path, config(), **more)
    pipeline.salt = "new"
    with pytest.raises(FeatureStoreError, match="store: down"):
        pipeline.run(tmp_path / "elsewhere", config(), only=["c"])


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline()


def test_runs_in_order_once(tmp_path: Path, pipeline: Pipeline) -> None:
    assert pipeline.run(tmp_path, config()) == ["a", "b", "c"]
    assert pipeline.run(tmp_path, config()) == []
    assert pipeline.published == ["c", "c"], "an artifact is published even if its stage did not run"


@pytest.mark.slow
def test_a_stage_that_does_not_fit_is_refused_before_it_runs(tmp_path: Path, pipeline: Pipeline) -> None:
    """b needs 2 GB, and a byte for each parent of its parent: none."""

    def memory(sections: Mapping[str, Any], parents: Mapping[str, Artifact]) -> MemoryNeed:
        return MemoryNeed({"rows": 2_000_000_000, "more": parents["a"].metrics["n_parents"]}, "lower serving.ann.topk")

    a, b, c = pipeline.stages
    pipeline.stages = (a, replace(b, memory=memory), c)
    message = (
        r"stage b: needs about 2.00 GB of memory, 1.00 GB are allowed by etl.memory_limit .*: lower serving.ann.topk, "
        "or raise etl.memory_limit$"
    )
    with pytest.raises(ConfigError, match=message):
        pipeline.run(tmp_path, config(etl={"memory_limit": "1GB"}))
    assert pipeline.ran == ["a"] and not list((tmp_path / "b").glob("*"))
    assert pipeline.run(tmp_path, config(etl={"memory_limit": "2GB"})) == ["b", "c"]
    assert pipeline.run(tmp_path, config(etl={"memory_limit": "1GB"})) == [], "what is made already takes no memory"


@pytest.mark.slow
def test_stages_to_come_are_checked_when_there_are_tables_and_something_runs(tmp_path: Path) -> None:
    pipeline, asked = Pipeline(), []

    def check(sections: Mapping[str, Any], artifacts: Mapping[str, Artifact]) -> None:
        asked.append(sorted(artifacts))
        if sections["serving.ann"].topk == 7:
            raise ConfigError("serving.ann.topk: 7")

    names = dict(zip(("a", "b", "c"), ("data", "etl", "features"), strict=True))
    pipeline.stages = tuple(
        replace(stage, name=names[stage.name], parents=[names[name] for name in stage.parents])
        for stage in pipeline.stages
    )
    last = Stage("export", "last", ["serving.ann"], ["features"], pipeline.fill("d"), check=check)
    pipeline.stages = (*pipeline.stages, last)
    with pytest.raises(ConfigError, match=r"serving.ann.topk: 7"):
        pipeline.run(tmp_path, config(serving={"ann": {"topk": 7}, "rerank": {"k": 5}}))
    assert pipeline.ran == ["a", "b"] and asked == [["data", "etl"]]
    assert pipeline.run(tmp_path, config(serving={"ann": {"topk": 7}, "rerank": {"k": 5}}), only=["features"]) == ["c"]
    assert pipeline.run(tmp_path, config()) == ["b", "d"] and asked[1:] == [["data", "etl", "features"]]
    assert pipeline.run(tmp_path, config()) == [] and len(asked) == 2


@pytest.mark.slow
def test_a_stage_gets_its_own_sections_and_parents(tmp_path: Path, pipeline: Pipeline) -> None:
    done = run(config(), tmp_path, stages=pipeline.stages)
    assert dict(done["c"].metrics) == {"n_parents": 2, "sections": ["schema"]}
    assert done["c"].parents == {"a": done["a"].digest, "b": done["b"].digest}
    assert done["b"].path.parent == tmp_path / "b"


@pytest.mark.slow
def test_a_changed_section_runs_what_reads_it(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, config())
    changed = config(serving={"ann": {"topk": 100}, "rerank": {"k": 10}})
    assert pipeline.why(tmp_path, changed) == {"a": "", "b": "serving.ann.topk: 200 -> 100", "c": "b would run first"}
    assert pipeline.run(tmp_path, changed) == ["b"], "b wrote the same bytes, so c is still up to date"


def test_a_changed_parent_runs_its_children(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, config())
    pipeline.salt = "!"
    assert pipeline.run(tmp_path, config(), only=["a"], force=True) == ["a"]
    assert pipeline.why(tmp_path, config()) == {"a": "", "b": "a has changed", "c": "a has changed; b would run first"}
    assert pipeline.run(tmp_path, config()) == ["b", "c"]


@pytest.mark.slow
def test_going_back_to_older_settings_runs_nothing(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, config())
    pipeline.run(tmp_path, config(data={"source": "synthetic"}))
    assert pipeline.run(tmp_path, config()) == []


def named(name: str, **sections: Any) -> PipelineConfig:
    return config(feature_store={"project": name}, **sections)


@pytest.mark.slow
def test_a_pipeline_is_compared_with_its_own_last_run(tmp_path: Path, pipeline: Pipeline) -> None:
    """Two configs in one folder: shop changes serving.ann.topk, whatever books has run meanwhile."""
    few, more, most = ({"ann": {"topk": topk}, "rerank": {"k": 10}} for topk in (30, 40, 50))
    pipeline.run(tmp_path, named("shop", serving=few))
    runs = f"the newest run in {tmp_path} is of"
    assert pipeline.why(tmp_path, named("books")) == {
        "a": "",
        "b": f"no run of books yet, {runs} shop",
        "c": f"no run of books yet, {runs} shop; b would run first",
    }
    assert pipeline.run(tmp_path, named("books", serving=most)) == ["b"]
    assert pipeline.why(tmp_path, named("shop", serving=more))["b"] == "serving.ann.topk: 30 -> 40"
    assert pipeline.why(tmp_path, named("books", serving=more))["b"] == "serving.ann.topk: 50 -> 40"
    assert pipeline.why(tmp_path, named("a/b", serving=more))["b"] == f"no run of a/b yet, {runs} books"
    told: list[str] = []
    run(named("a/b", serving=more), tmp_path, stages=pipeline.stages, report=lambda step: told.append(step.why))
    assert set(told) == {""}, "the first run of a pipeline has no changes to tell"


@pytest.mark.slow
def test_the_last_run_may_be_one_of_older_settings(tmp_path: Path, pipeline: Pipeline) -> None:
    for topk in (30, 40, 30):
        pipeline.run(tmp_path, config(serving={"ann": {"topk": topk}, "rerank": {"k": 10}}))
    assert pipeline.ran == []
    assert pipeline.why(tmp_path, config())["b"] == "serving.ann.topk: 30 -> 200"


@pytest.mark.slow
def test_a_pipeline_without_an_earlier_run_of_a_stage(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, named("shop"))
    pipeline.run(tmp_path, named("books", data={"source": "synthetic"}), only=["a"])
    changed = named("books", serving={"ann": {"topk": 30}, "rerank": {"k": 10}})
    assert pipeline.why(tmp_path, changed)["b"] == "not run before"


def test_a_damaged_note_of_runs_is_named(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, named("shop"))
    (tmp_path / ".last" / "shop.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"\.last/shop\.json: damaged .*; delete this file, and run again$"):
        pipeline.run(tmp_path, named("shop"))


def with_file(pipeline: Pipeline, folder: Path) -> None:
    """``a`` reads the files of ``folder``, too."""
    first, *rest = pipeline.stages
    pipeline.stages = (replace(first, inputs=lambda sections: file_inputs([folder], folder)), *rest)


@pytest.mark.slow
def test_another_file_runs_the_stage_that_reads_it(tmp_path: Path, pipeline: Pipeline) -> None:
    file, runs = tmp_path / "tables" / "items.csv", tmp_path / "runs"
    file.parent.mkdir()
    file.write_text("old")
    with_file(pipeline, file.parent)
    assert pipeline.run(runs, config()) == ["a", "b", "c"]
    os.utime(file, (1, 1))
    assert pipeline.run(runs, config()) == [], "another time is not another content"
    file.write_text("newer")
    os.utime(file, (0, 0))
    when = datetime.fromtimestamp(0).astimezone().isoformat(" ", "minutes")
    assert pipeline.why(runs, config())["a"] == f"items.csv has changed (3 -> 5 bytes, written {when})"
    told: list[str] = []
    pipeline.salt = "!"
    pipeline.run(runs, config(), report=lambda step: told.append(step.why))
    assert pipeline.ran == ["a", "b", "c"]
    assert told[0].startswith("items.csv has changed")
    (file.parent / "users.csv").touch()
    assert pipeline.why(runs, config())["a"] == "users.csv is new"
    for name in "pqrs":
        (file.parent / name).touch()
    assert pipeline.why(runs, config())["a"] == "p is new; q is new; r is new; 2 more files have changed"
    for other in file.parent.iterdir():
        other.unlink()
    assert pipeline.why(runs, config())["a"] == "items.csv is gone"


def test_a_file_that_changes_while_it_is_read_leaves_nothing(tmp_path: Path, pipeline: Pipeline) -> None:
    file, runs = tmp_path / "tables" / "items.csv", tmp_path / "runs"
    file.parent.mkdir()
    file.write_text("old")
    with_file(pipeline, file.parent)
    first, *rest = pipeline.stages

    def writes(folder: Path, sections: Mapping[str, Any], parents: Mapping[str, Artifact]) -> None:
        file.write_text("new")

    pipeline.stages = (replace(first, fill=writes), *rest)
    with pytest.raises(DataError, match=r"^items.csv: changed while stage a read it; run the same command again"):
        run(config(), runs, stages=pipeline.stages)
    assert not [path for path in (runs / "a").iterdir() if path.is_dir()]


def test_many_changed_keys_are_counted(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, config())
    columns = {f"mine{number}": f"theirs{number}" for number in range(8)}
    why = pipeline.why(tmp_path, config(data={"source": "synthetic", "columns": columns}))["a"]
    assert why.startswith("data.columns")
    assert why.count(";") == 5 and why.endswith("5 more keys have changed")


def test_nothing_has_run_yet(tmp_path: Path, pipeline: Pipeline) -> None:
    assert pipeline.why(tmp_path, config()) == {
        "a": "not run before",
        "b": "not run before; a would run first",
        "c": "not run before; a, b would run first",
    }
    assert [row.folder is None for row in plan(config(), tmp_path, pipeline.stages)] == [False, True, True]


def test_other_code_is_a_reason(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, config())
    first = pipeline.stages[0]
    newer = Stage(first.name, first.help, first.sections, first.parents, first.fill, version=2)
    row = plan(config(), tmp_path, (newer,))[0]
    assert row.why == "the stage's code has changed (version 1 -> 2)"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_manifest_that_was_cut_off_is_a_reason(tmp_path: Path, pipeline: Pipeline, text: str) -> None:
    done = run(config(), tmp_path, stages=pipeline.stages)
    (done["a"].path / "manifest.json").write_text(text)
    assert pipeline.why(tmp_path, config())["a"] == "its run folder is gone, or files in it are"
    assert pipeline.run(tmp_path, config()) == ["a"]


def test_a_folder_that_was_deleted_is_a_reason(tmp_path: Path, pipeline: Pipeline) -> None:
    done = run(config(), tmp_path, stages=pipeline.stages)
    (done["a"].path / "manifest.json").unlink()
    assert pipeline.why(tmp_path, config())["a"] == "its run folder is gone, or files in it are"


def test_only_brings_what_it_needs(tmp_path: Path, pipeline: Pipeline) -> None:
    assert pipeline.run(tmp_path, config(), only=["b"]) == ["a", "b"]
    assert pipeline.run(tmp_path, config(), only=["b"], force=True) == ["b"]
    assert pipeline.published == []


@pytest.mark.slow
def test_force_runs_everything(tmp_path: Path, pipeline: Pipeline) -> None:
    pipeline.run(tmp_path, config())
    assert pipeline.run(tmp_path, config(), force=True) == ["a", "b", "c"]


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(folder: Path, sections: Any, parents: Any) -> None:
        (folder / "half.txt").write_text("half")
        raise ArtifactError("no luck")

    with pytest.raises(ArtifactError, match="no luck"):
        run(config(), tmp_path, stages=[Stage("a", "first", [], [], fill)])
    assert list((tmp_path / "a").iterdir()) == []


def test_unknown_stage(tmp_path: Path, pipeline: Pipeline) -> None:
    with pytest.raises(ConfigError, match="stage d: no such stage; valid: a, b, c"):
        run(config(), tmp_path, only=["d"], stages=pipeline.stages)


@pytest.mark.slow
def test_find(tmp_path: Path, pipeline: Pipeline) -> None:
    with pytest.raises(ConfigError, match=r"stage b .*\(not run before; a would run first\): run `cascade run` first"):
        find(config(), tmp_path, "b", pipeline.stages)
    done = run(config(), tmp_path, stages=pipeline.stages)
    assert find(config(), tmp_path, "b", pipeline.stages) == done["b"]


@pytest.mark.slow
def test_find_says_how_to_see_the_last_one(tmp_path: Path, pipeline: Pipeline) -> None:
    done = run(config(), tmp_path, stages=pipeline.stages)
    last = done["b"].path
    with pytest.raises(ConfigError, match=rf"`cascade run` first, which makes all; `cascade show {last}` shows"):
        find(config(serving={"ann": {"topk": 50}}), tmp_path, "b", pipeline.stages)
    shutil.rmtree(last)
    with pytest.raises(ConfigError, match=r"`cascade run` first, which makes all$"):
        find(config(), tmp_path, "b", pipeline.stages)


def test_progress(tmp_path: Path, pipeline: Pipeline) -> None:
    seen: list[Progress] = []
    run(config(), tmp_path, only=["a"], stages=pipeline.stages, report=seen.append)
    assert [(p.stage.name, p.artifact is None, p.seconds is None) for p in seen] == [
        ("a", True, True),
        ("a", False, False),
    ]
    seen.clear()
    run(config(), tmp_path, only=["a"], stages=pipeline.stages, report=seen.append)
    assert [(p.artifact is None, p.seconds is None) for p in seen] == [(False, True)]


@pytest.mark.slow
@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_text("")])
def test_an_artifact_whose_files_are_gone_or_cut_off_is_made_again(
    tmp_path: Path, pipeline: Pipeline, damage: Callable[[Path], Any]
) -> None:
    pipeline.run(tmp_path, config())
    file = next((tmp_path / "b").glob("*/out.txt"))
    damage(file)
    assert pipeline.why(tmp_path, config())["b"] == "its run folder is gone, or files in it are"
    assert pipeline.run(tmp_path, config()) == ["b"], "its digest is the same, so c is up to date"
    assert file.read_text() == "b" and pipeline.run(tmp_path, config()) == []


def test_stage_names_match_their_places() -> None:
    for name, place in STAGES.items():
        assert place.partition(":")[2].lower() == name


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_record_is_named(tmp_path: Path, pipeline: Pipeline, text: str) -> None:
    pipeline.run(tmp_path, config())
    record = next((tmp_path / "b").glob("*.json"))
    record.write_text(text)
    with pytest.raises(ArtifactError, match=f"{record.name}: damaged .*; delete this file"):
        pipeline.why(tmp_path, config(serving={"ann": {"topk": 60}}))
    record.unlink()
    assert pipeline.run(tmp_path, config(serving={"ann": {"topk": 60}})) == ["b"]
