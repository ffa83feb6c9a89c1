"""`cascade tune` on a small shop: a resumed study, combinations that cannot work, and a best config that runs."""

import json
import re

import pytest
from tuning_shop import SPACE, TINY
from typer.testing import CliRunner

from cascade.cli import main as cli
from cascade.config.load import config_with_origins
from cascade.core.artifact import Artifact
from cascade.core.errors import ConfigError
from cascade.models.config import TrainingConfig
from cascade.models.training.loop import EPOCH_CALLBACK, fit
from cascade.pipeline.stages import plan
from cascade.tuning.trial import EpochReporter, TrialObjective
from cascade.tuning.tune import Options, prepare

pytestmark = pytest.mark.slow


def invoke(*args):
    result = CliRunner().invoke(cli.app, list(args), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study of four trials, resumed with the same command for three more."""
    folder = tmp_path_factory.mktemp("tune")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "space.yaml").write_text(SPACE)
    for trials in (4, 3):
        (folder / f"{trials}.json").write_text(invoke(*command(folder), "--trials", str(trials), "--json"))
    return folder


def command(folder):
    return ["tune", "-c", str(folder / "tiny.yaml"), "--space", str(folder / "space.yaml"), "--runs", f"{folder}/runs"]


@pytest.fixture(scope="module")
def found(folder):
    return json.loads((folder / "3.json").read_text())


def test_the_same_command_resumes_the_study(folder, found):
    first = json.loads((folder / "4.json").read_text())
    assert first["study"] == found["study"] and len(found["trials"]) == 7
    assert found["trials"][:4] == first["trials"]
    assert [study.name for study in (folder / "runs" / "tune").iterdir()] == [found["study"]]


def test_a_combination_that_cannot_work_is_pruned_with_its_reason(found):
    ends = [
        [json.loads(t["params"][f"two_tower.{s}_tower.mlp"])[-1] for s in ("user", "item")] for t in found["trials"]
    ]
    states = [trial["state"] for trial in found["trials"]]
    assert states == ["complete" if user == item else "pruned" for user, item in ends] and len(set(states)) == 2
    reasons = [trial["reason"] for trial in found["trials"] if trial["state"] == "pruned"]
    assert all("both must end in the same width" in reason for reason in reasons)


def test_the_metric_is_the_one_in_the_artifacts_manifest(folder, found):
    for trial in found["trials"]:
        if trial["state"] == "complete":
            metrics = Artifact.load(folder / "runs" / trial["artifact"]).metrics
            assert trial["value"] == metrics["valid_ndcg"]
    values = [trial["value"] for trial in found["trials"] if trial["value"] is not None]
    assert found["best"]["value"] == max(values) and found["metric"] == "two_tower.valid_ndcg"


def test_stages_that_have_run_are_not_run_again(folder, found):
    combinations = {json.dumps(t["params"]) for t in found["trials"] if t["state"] == "complete"}
    trained = {trial["artifact"] for trial in found["trials"] if trial["artifact"]}
    assert len(trained) == len(combinations)
    assert len(list((folder / "runs" / "etl").glob("*.json"))) == 1


def test_the_best_config_finds_its_finished_run(folder, found):
    best, _ = config_with_origins(folder / "runs" / "tune" / found["study"] / "best.yaml", environ={})
    rows = {row.stage: row for row in plan(best, folder / "runs")}
    assert rows["two_tower"].up_to_date
    assert f"two_tower/{rows['two_tower'].folder.name}" == found["best"]["artifact"]
    text = (folder / "runs" / "tune" / found["study"] / "best.yaml").read_text()
    assert f"# Study {found['study']}, trial {found['best']['number']} of 7" in text
    assert f"# two_tower.valid_ndcg: {found['best']['value']:.6g}" in text
    assert "tune" not in best.given() and "seen" not in text, "only the keys that were given, not every default"


def test_the_baseline_is_the_config_before_tuning(folder, found):
    config, _ = config_with_origins(folder / "tiny.yaml", environ={})
    row = next(row for row in plan(config, folder / "runs") if row.stage == "two_tower")
    assert Artifact.load(row.folder).metrics["valid_ndcg"] == found["baseline"]


def test_the_report_holds_its_plots(folder, found):
    page = (folder / "runs" / "tune" / found["study"] / "report.html").read_text()
    pictures = re.findall(r'<img alt="([^"]*)" src="data:image/svg\+xml;base64,[A-Za-z0-9+/=]{500,}"', page)
    slices = {f"{name} against two_tower.valid_ndcg" for name in found["trials"][0]["params"]}
    assert {"Optimization history", "Parameter importance", *slices} <= set(pictures)
    assert page.count("<tr>") == 8 and "both must end in the same width" in page


def test_the_table_lists_the_best_trial_first(folder, found):
    text = invoke(*command(folder), "--trials", "0")
    assert text.splitlines()[2].split()[:2] == [str(found["best"]["number"]), f"{found['best']['value']:.4f}"]
    assert f"before tuning {found['baseline']:.4f}" in text
    assert f"best:   cascade run -c {folder}/runs/tune/{found['study']}/best.yaml" in text


def test_every_trial_carries_a_card_with_the_manifests_numbers(folder, found):
    artifact = Artifact.load(folder / "runs" / found["best"]["artifact"])
    shown = json.loads(invoke("show", str(artifact.path), "--json"))
    card, data = shown["card"], next((folder / "runs" / "data").glob("*/manifest.json"))
    assert {**card["training"], **card["validation"]} == {k: v for k, v in artifact.metrics.items() if k != "notices"}
    assert card["digest"] == artifact.digest and card["lineage"]["etl"] == artifact.parents["etl"]
    assert card["data"] == json.loads(data.read_text())["metrics"]
    assert card["config"]["two_tower"]["training"]["epochs"] == 2
    text = invoke("show", str(artifact.path))
    assert re.search(rf"\| valid_ndcg \(every rank counts\) +\| {artifact.metrics['valid_ndcg']:.4g}", text)
    assert "## Limits" in text
    assert "Not measured yet: `cascade evaluate`" in text


def test_two_workers_train_from_the_start(folder, found):
    runs = folder / "parallel"
    args = [*command(folder)[:-1], str(runs), "--workers", "2", "--trials", "2", "--json"]
    parallel = json.loads(invoke(*args))
    assert parallel["study"] == found["study"] and parallel["baseline"] == pytest.approx(found["baseline"], rel=1e-3)
    assert parallel["trials"][0]["params"] == found["trials"][0]["params"]
    for trial in parallel["trials"]:
        twin = next((one for one in found["trials"] if one["params"] == trial["params"]), trial)
        assert (trial["state"], trial["reason"]) == (twin["state"], twin["reason"])
        if trial["state"] == "complete":
            assert trial["value"] == pytest.approx(twin["value"], rel=1e-3), "up to the order in which threads add"
    assert len(list((runs / "etl").glob("*.json"))) == 1


def test_a_stopped_study_says_how_to_resume_it_and_can_be_resumed(folder, monkeypatch):
    calls, attempt = [], TrialObjective.attempt

    def stopped(objective, drawn, reporter):
        calls.append(drawn)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return attempt(objective, drawn, reporter)

    monkeypatch.setattr(TrialObjective, "attempt", stopped)
    again = [*command(folder), "--study", "stopped", "--trials", "2"]
    result = CliRunner().invoke(cli.app, again)
    assert result.exit_code == 130 and "run the same command again to continue study stopped" in result.stderr
    assert "1 fail" in (folder / "runs" / "tune" / "stopped" / "report.html").read_text()
    found = json.loads(invoke(*again, "--json"))
    assert [trial["reason"] == "interrupted" for trial in found["trials"]] == [False, True, False, False]
    assert calls[2] == calls[1], "the interrupted trial is repeated first"


def test_an_error_is_an_outcome_and_does_not_stop_the_study(folder):
    config, _ = config_with_origins(folder / "tiny.yaml", environ={})
    job = prepare(config, folder / "tiny.yaml", Options(space=folder / "space.yaml"))
    outcome = job.objective.attempt({}, EpochReporter("", "", 0, "none"))
    assert outcome.state == "fail" and outcome.reason.startswith("NotADirectoryError: ")


def test_the_default_space_is_used_without_a_section_tune(folder):
    config, _ = config_with_origins(folder / "tiny.yaml", environ={})
    both = prepare(config, folder / "runs", Options())
    assert len(both.objective.space.parameters) == 6 and str(both.objective.metric) == "ranker.valid_fused"
    retriever = prepare(config, folder / "runs", Options(metric="two_tower.valid_ndcg"))
    assert [p.name.partition(".")[0] for p in retriever.objective.space.parameters] == ["two_tower"] * 3


def test_a_minimized_metric_needs_pruner_none(folder):
    config, _ = config_with_origins(folder / "tiny.yaml", environ={})
    with pytest.raises(ConfigError, match="--pruner median: .* give --pruner none"):
        prepare(config, folder / "runs", Options(metric="two_tower.valid_loss"))
    job = prepare(config, folder, Options(metric="two_tower.valid_loss", pruner="none"))
    assert isinstance(job.objective, TrialObjective)


def test_an_exception_of_the_watch_function_ends_a_training(tmp_path):
    from cascade.models._merlin import tf
    from cascade.models.training.optimizers import Optimizer
    from cascade.models.training.step import TrainStep

    class Still(tf.Module):
        variables = weights = ()

        def save_weights(self, file):
            open(file, "w").close()

    seen = []

    def watch(title, epoch, score):
        seen.append((title, epoch, score))
        if epoch == 2:
            raise StopAsyncIteration

    token = EPOCH_CALLBACK.set(watch)
    try:
        with pytest.raises(StopAsyncIteration):
            config = TrainingConfig(epochs=3)
            step = TrainStep(lambda batch: 1.0, Optimizer(config))
            scores = iter([0.25, 0.5, 0.75])
            fit(Still(), config, "still", 1, lambda rng: iter([{}]), step, lambda of: next(scores), tmp_path)
    finally:
        EPOCH_CALLBACK.reset(token)
    assert seen == [("still", 1, 0.25), ("still", 2, 0.5)]
