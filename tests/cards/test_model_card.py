"""Model cards: written with the artifact from manifests, and shown together with a later evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cascade.cards.model_card import card_of, packages
from cascade.cards.page import _with_cut_offs, as_markdown, flat, shown
from cascade.cli import main as cli
from cascade.cli.text.artifact import as_text, describe
from cascade.config.pipeline import PipelineConfig
from cascade.core.artifact import (
    CARD,
    CARD_DATA,
    Artifact,
    folder_digest,
)
from cascade.core.stage import Stage
from cascade.pipeline.stages import run

CONFIG = PipelineConfig.model_validate(
    {"schema": {"sparse": ["user_id", "item_id"]}, "two_tower": {"id_dropout": 0.25}, "dlrm_ranker": {"negatives": 7}}
)
DATA = {"n_users": 943, "n_train": 1234, "time_span": {"train": [874724710, 893286638], "test": [1, 2]}}
TRAINED = {
    "epochs": 2,
    "best_epoch": 1,
    "loss": [2.5, 1.25],
    "valid_ndcg": 0.33333333,
    "notices": ["no GPU: used flat"],
}
METRICS: dict[str, Any] = {
    "data": DATA,
    "two_tower": TRAINED,
    "ranker": {"train_on": "candidates", "valid_fused": 0.5, "fusion": {"bias": -1.5}},
    "export": {"release": "abc"},
    "evaluation": {
        "retrieval": {"recall@100": 0.5},
        "ranking": {"auc": 0.9},
        "cascade": {"ndcg@10": 0.07},
        "funnel": {"found": {"count": 3, "share": 0.25}},
        "baselines": {"popularity": {"recall@100": 0.3}},
    },
}
SLICES = [{"slice": "new users", "users": 0, "auc": None}, {"slice": "head", "users": 3, "auc": 0.75}]
PARENTS = {"two_tower": ["data"], "ranker": ["two_tower"], "export": ["ranker"], "evaluation": ["two_tower"]}
SECTIONS = {"data": ["data"], "two_tower": ["two_tower"], "ranker": ["dlrm_ranker"]}


def stages() -> list[Stage]:
    """A pipeline with the real stage names, in which each stage writes one word."""

    def made(name: str) -> Stage:
        def fill(folder: Path, sections: Any, parents: Any) -> dict[str, Any]:
            (folder / "model.txt").write_text(name)
            return METRICS[name]

        return Stage(name, name, SECTIONS.get(name, []), PARENTS.get(name, []), fill, version=3)

    return [made(name) for name in METRICS]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    return run(CONFIG, tmp_path_factory.mktemp("runs"), stages=stages())


def card(artifact: Artifact) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((artifact.path / CARD_DATA).read_text())
    return loaded


def test_only_trained_artifacts_have_a_card(done: dict[str, Artifact]) -> None:
    carried = [name for name, artifact in done.items() if (artifact.path / CARD).is_file()]
    assert carried == ["two_tower", "ranker", "export"]


def test_numbers_are_those_of_the_manifests(done: dict[str, Artifact]) -> None:
    found = card(done["two_tower"])
    assert found["training"] == {"epochs": 2, "best_epoch": 1, "loss": [2.5, 1.25]}
    assert found["validation"] == {"valid_ndcg": 0.33333333} and found["notices"] == ["no GPU: used flat"]
    assert found["data"] == DATA and found["config"]["two_tower"]["id_dropout"] == 0.25
    assert list(found["config"]) == ["data", "two_tower"], "the sections that it depends on"
    assert (found["digest"], found["stage_version"]) == (done["two_tower"].digest, 3)
    assert card(done["ranker"])["lineage"] == {name: done[name].digest for name in ("data", "two_tower")}


def test_the_release_gathers_the_figures_of_its_parts(done: dict[str, Artifact]) -> None:
    parts = card(done["export"])["parts"]
    assert parts["two_tower"]["validation"] == {"valid_ndcg": 0.33333333}
    assert parts["ranker"]["training"] == {"train_on": "candidates", "fusion": {"bias": -1.5}}


def test_the_page_has_the_usual_headings(done: dict[str, Artifact]) -> None:
    text = (done["two_tower"].path / CARD).read_text()
    head, body = text.removeprefix("---\n").split("---\n", 1)
    assert yaml.safe_load(head) == {
        "library_name": "merlin-cascade",
        "tags": ["recommendation", "retrieval", "two-tower"],
    }
    headings = [line.removeprefix("## ") for line in body.splitlines() if line.startswith("## ")]
    assert headings == [
        *("Intended use", "Limits", "Notices", "Training data", "Training", "Training loss", "Validation"),
        *("Made from", "Configuration", "Software"),
    ]
    rows = {cells[1].strip(): cells[2].strip() for line in body.splitlines() if len(cells := line.split("|")) == 4}
    assert rows["n_train"] == "1,234" and rows["valid_ndcg (every rank counts)"] == "0.3333" and rows["2"] == "1.25"
    assert rows["time, train"] == "1997-09-20 03:05 UTC to 1998-04-22 23:10 UTC"
    assert rows["time, test"] == "1 to 2", "a number that is no date is printed as a number"
    assert "- no GPU: used flat" in body and "the user id was hidden in 25% of the training rows" in body


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000])
def test_the_data_are_shown_with_dates_in_every_unit(tmp_path: Path, unit: int) -> None:
    first, last = (seconds * 1_000_000 // unit for seconds in (1_650_814_009, 1_651_000_000))
    metrics = {"n_positives": 3, "time_span": {"train": [first, last], "test": [7, 8]}, "time_unit": unit}
    text = as_text(describe(Artifact(tmp_path, "data", "abc", {}, metrics)))
    assert "2022-04-24 15:26 UTC to 2022-04-26 19:06 UTC" in text and "7 to 8" in text
    assert "n_positives" in text and "time_span" not in text and "time_unit" not in text


def test_limits_depend_on_what_the_ranker_was_trained_on() -> None:
    sections = {"dlrm_ranker": CONFIG.dlrm_ranker}
    on = {kind: Artifact(Path("x"), "ranker", "d", {}, {"train_on": kind}) for kind in ("candidates", "impressions")}
    said = {kind: " ".join(card_of(artifact, 1, {}, sections)["limits"]) for kind, artifact in on.items()}
    assert "for each positive, 7 of the retriever's candidates" in said["candidates"]
    assert "a positive label for an item that the log showed" in said["impressions"] and "7" not in said["impressions"]


def test_a_card_says_which_towers_auto_has_chosen() -> None:
    tried = {"configured": {"ndcg": 0.1}, "temperature": {"left_out": "not begun in time"}}
    changed = {"id_dropout": 0.5, "item_tower.dropout": 0.3}
    chosen = {"chosen": "dropout", "changed": changed, "tried": tried}
    for variants in (chosen, {"chosen": "configured", "changed": {}, "tried": {}}):
        artifact = Artifact(Path("x"), "two_tower", "d", {}, {**TRAINED, "variants": variants})
        text = as_markdown(card_of(artifact, 1, {}, {"two_tower": CONFIG.two_tower}))
        other = variants is chosen
        assert f"the user id was hidden in {50 if other else 25}% of the training rows" in text
        said = "two_tower.auto has changed the configured towers (dropout: id_dropout: 0.5, item_tower.dropout: 0.3)"
        assert (said in text) == other
        assert ("| variants.tried.configured.ndcg " in text) == other


def test_the_digest_leaves_out_the_card_and_the_manifest(done: dict[str, Artifact]) -> None:
    artifact = done["ranker"]
    assert folder_digest(artifact.path, "ranker", artifact.parents) == artifact.digest
    before = sorted(path.name for path in artifact.path.iterdir())
    assert before == [CARD, "manifest.json", "model.txt", CARD_DATA]
    again = run(CONFIG, artifact.path.parent.parent, only=["ranker"], force=True, stages=stages())["ranker"]
    assert again == artifact


def test_an_evaluation_is_shown_with_the_card(done: dict[str, Artifact]) -> None:
    found = describe(done["two_tower"])
    assert found["evaluation"] == METRICS["evaluation"] and "evaluation" not in found["card"]
    text = as_text(found)
    table = text.partition("## Test part")[2]
    assert "popularity" in table and "0.3000" in table and "retriever" in table and "0.5000" in table


def test_an_evaluation_of_another_artifact_is_not_shown(done: dict[str, Artifact]) -> None:
    found = describe(done["ranker"])
    assert found["evaluation"] is None and "Not measured yet" in as_text(found)


def test_show_takes_a_folder_and_shows_any_artifact(done: dict[str, Artifact]) -> None:
    result = CliRunner().invoke(cli.app, ["show", str(done["data"].path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert done["data"].digest in result.output and "1,234" in result.output and "Limits" not in result.output


def test_a_trained_artifact_without_a_card_says_why(tmp_path: Path) -> None:
    stage = next(stage for stage in stages() if stage.name == "data")
    found = describe(stage.run(tmp_path, {"data": CONFIG.data}, {})) | {"has_card": True}
    assert "made by an older version" in as_text(found)


def test_intervals_are_shown_with_their_value() -> None:
    assert shown({"value": 0.5, "low": 0.25, "high": 0.75}) == "0.5 (0.25 to 0.75)"
    assert shown({"low": 1, "high": 2000}) == "1 to 2,000"
    assert [shown(value) for value in (True, 1234, 1e-6, [1, 2.5], "x")] == ["True", "1,234", "1e-06", "1, 2.5", "x"]


@pytest.mark.parametrize(
    ("metrics", "labels"),
    [
        (
            {"valid_ndcg": 0.3, "valid_ndcg_with_linear": 0.2, "valid_ndcg_pushed": 0.1, "valid_ndcg@10": 0.1},
            ["valid_ndcg (every rank counts)", "valid_ndcg_with_linear (NDCG@20 of lists)"]
            + ["valid_ndcg_pushed (NDCG@20 of lists)", "valid_ndcg@10"],
        ),
        ({"valid_ndcg": 0.3, "valid_fused": 0.3}, ["valid_fused (NDCG, every rank counts)"]),
        ({"valid_auc": 0.7, "valid_dlrm": 0.7, "valid_auc_of": {"like": 0.6}}, ["valid_auc", "valid_dlrm (AUC)"]),
    ],
)
def test_validation_figures_name_their_cut_off(metrics: dict[str, Any], labels: list[str]) -> None:
    found = [label for label, _ in _with_cut_offs(metrics)]
    assert [label for label in found if label in labels] == labels


def test_no_empty_tables() -> None:
    empty = {"title": "T", "tags": [], "kind": "k", "digest": "d", "stage_version": 1, "lineage": {}, "data": {}}
    figures: dict[str, Any] = {"training": {}, "validation": {}, "notices": []}
    text = as_markdown({**empty, **figures, "config": {}, "parts": {}, "use": ["u"], "limits": ["l"], "packages": {}})
    assert "|" not in text and "Made from" not in text


def test_the_card_lists_installed_versions() -> None:
    import numpy

    found = packages()
    assert found["numpy"] == numpy.__version__ and "merlin-cascade" in found and "python" in found


def test_a_list_of_groups_is_flattened():
    assert dict(flat({"slices": SLICES, "ks": [1, 2], "none": []})) == {
        "slices.1.slice": "new users",
        "slices.1.users": 0,
        "slices.1.auc": None,
        "slices.2.slice": "head",
        "slices.2.users": 3,
        "slices.2.auc": 0.75,
        "ks": [1, 2],
        "none": [],
    }


def test_an_evaluation_is_shown_as_tables(done: dict[str, Artifact]) -> None:
    text = as_text(describe(done["evaluation"]))
    assert "popularity" in text and "ndcg@10" in text and text.endswith(f"artifact: {done['evaluation'].path}")
