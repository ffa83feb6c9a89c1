"""A run keeps the release that it publishes, and as many of the others as the config says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from release_exports import write_export

from cascade.config.pipeline import PipelineConfig
from cascade.core.artifact import Artifact
from cascade.core.stage import Stage
from cascade.ensemble.config import ExportConfig
from cascade.ensemble.repository.owner import Owner
from cascade.ensemble.repository.publication import differences, publish
from cascade.pipeline import stages
from cascade.pipeline.stages import plan, run, with_publications
from cascade.rollout.releases.live_set import LiveSet, LiveSets
from cascade.rollout.releases.store import ReleaseStore


@pytest.fixture(autouse=True)
def export_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline that only exports: the release named r<topk>, on day <topk>."""

    def fill(folder: Path, sections: Mapping[str, Any], parents: Mapping[str, Artifact]) -> None:
        topk = sections["serving.ann"].topk
        write_export(folder, f"r{topk}", day=topk)

    def put(artifact: Artifact, sections: Mapping[str, Any]) -> None:
        publish(artifact, cast(ExportConfig, sections["export"]), Owner.of("shop", artifact))

    def unpublished(artifact: Artifact, sections: Mapping[str, Any]) -> list[str]:
        return differences(artifact, cast(ExportConfig, sections["export"]))

    stage = Stage("export", "x", ["export", "serving.ann"], [], fill, publish=put, unpublished=unpublished)
    monkeypatch.setattr(stages, "all_stages", lambda: (stage,))


def config(tmp_path: Path, topk: int, keep: int = 5) -> PipelineConfig:
    sections = {
        "schema": {"sparse": ["user_id", "item_id"]},
        "export": {"repository": str(tmp_path / "models"), "model_name": "shop"},
        "serving": {"ann": {"topk": topk}, "rerank": {"k": 1}},
        "rollout": {"keep_releases": keep},
    }
    return PipelineConfig.model_validate(sections)


def kept(tmp_path: Path) -> list[str]:
    return [release.id for release in ReleaseStore(tmp_path / "models", "shop").releases()]


def test_what_is_published_is_kept(tmp_path: Path) -> None:
    run(config(tmp_path, 1), tmp_path / "runs")
    assert kept(tmp_path) == ["r1"] and (tmp_path / "models" / "shop" / "1" / "graph.json").is_file()
    run(config(tmp_path, 1), tmp_path / "runs")
    run(config(tmp_path, 2), tmp_path / "runs")
    assert kept(tmp_path) == ["r2", "r1"]


def test_the_oldest_go_unless_they_are_in_use(tmp_path: Path) -> None:
    for topk in (1, 2):
        run(config(tmp_path, topk), tmp_path / "runs")
    LiveSets(tmp_path / "models", "shop").change(lambda _: LiveSet("r1"), actor="test", reason="")
    for topk in (3, 4, 5):
        run(config(tmp_path, topk, keep=2), tmp_path / "runs")
    assert kept(tmp_path) == ["r5", "r4", "r1"]


def test_nothing_goes_while_it_is_unknown_what_is_live(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(config(tmp_path, 1), tmp_path / "runs")
    LiveSets(tmp_path / "models", "shop").file.write_text("{")
    for topk in (2, 3):
        run(config(tmp_path, topk, keep=1), tmp_path / "runs")
    assert kept(tmp_path) == ["r3", "r2", "r1"]
    assert "no release is removed" in caplog.text and "live.json: damaged" in caplog.text


def test_plan_says_that_a_release_would_be_kept(tmp_path: Path) -> None:
    own = config(tmp_path, 1)
    run(own, tmp_path / "runs")
    store = ReleaseStore(tmp_path / "models", "shop")
    assert with_publications(plan(own, tmp_path / "runs"), own)[0].publish == ""
    store.folder("r1").rename(tmp_path / "elsewhere")
    assert with_publications(plan(own, tmp_path / "runs"), own)[0].publish.endswith("shop/.releases/r1 is not there")
    run(own, tmp_path / "runs")
    assert kept(tmp_path) == ["r1"]
