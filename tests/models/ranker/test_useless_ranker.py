"""A ranker that has learned nothing is left out by itself; one that has diverged stops the run."""

from dataclasses import replace

import numpy as np
import pytest
from model_shop import make_shop
from scipy.special import expit
from served import Served
from stage_runs import SECTIONS, rank_again, request, run_stages

from cascade.core.errors import DivergedError
from cascade.models.config import DlrmConfig
from cascade.models.onnx.export import session
from cascade.models.ranker import training
from cascade.models.ranker.candidates import Sampler
from cascade.models.ranker.rows import CandidateRows, ImpressionRows, MixedRows
from cascade.models.ranker.stage import load_ranker, retriever
from cascade.models.ranker.training import train
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors

pytestmark = pytest.mark.slow


def plant_shuffled_labels(monkeypatch):
    """In each sample of the training any of its items may be the positive."""
    draw = Sampler.__call__

    def shuffled(self, rng, *args, **options):
        found = draw(self, rng, *args, **options)
        return replace(found, label=rng.permuted(found.label, axis=1))

    monkeypatch.setattr(Sampler, "__call__", shuffled)


def test_a_ranker_of_shuffled_labels_is_left_out(parts, tensors, similarity, tmp_path, monkeypatch, caplog):
    plant_shuffled_labels(monkeypatch)
    made = rank_again(tmp_path / "runs", parts, order_by="auto")
    found = made["ranker"].metrics
    assert found["order"] == found["order_choice"]["order"] == "retriever"
    assert found["fusion"]["ranker"] == 0 < found["fusion"]["retriever"] and found["calibration"] == "platt"
    assert found["split"] is found["int8"] is None
    [notice] = [line for line in found["notices"] if "left out of the release" in line]
    assert notice in caplog.text
    assert {file.name for file in made["ranker"].path.glob("*.onnx")} == {"ranker.onnx"}
    model = session(made["ranker"].path / "ranker.onnx")
    assert {value.name for value in model.get_inputs()} == {"query", "item_vectors"}

    served = Served(made, tensors, tmp_path, precision="int8")
    assert set(served.lookup.writes) == {"item_vectors"}
    asked = request(tensors, similarity=similarity) | {"candidate_rows": np.arange(20).reshape(4, 5)}
    cosine = np.einsum("nd,nkd->nk", asked["query"], similarity.vectors[asked["candidate_rows"]])
    expected = found["fusion"]["retriever"] * cosine + found["fusion"]["bias"]
    np.testing.assert_allclose(served(asked), expected, rtol=1e-4, atol=1e-5)


def test_the_retrievers_probabilities_are_calibrated(parts, tensors, similarity, tmp_path):
    """Their mean is the share of positives among the candidates of the validation part."""
    made = rank_again(tmp_path, parts, order_by="retriever")
    assert not [line for line in made["ranker"].metrics.get("notices", []) if "left out" in line]
    rows = CandidateRows(tensors, retriever(tensors, parts, 20), DlrmConfig()).valid(seed=42)
    line = made["ranker"].metrics["fusion"]
    chance = expit(line["retriever"] * similarity(rows) + line["bias"])
    assert chance[rows.candidates >= 0].mean() == pytest.approx(
        rows.label.sum() / (rows.candidates >= 0).sum(), rel=0.01
    )


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """The artifacts of a shop that logs impressions, without a ranker."""
    folder = tmp_path_factory.mktemp("logged")
    shop = make_shop(folder / "shop", users=120, items=40, label=True)
    return run_stages(folder / "runs", shop, topk=20)


def test_a_ranker_of_impressions_is_judged_on_lists(logged, tmp_path):
    """What predicts the impressions best is kept beside what orders the lists."""
    made = rank_again(tmp_path, logged, order_by="auto", train_on="impressions")
    found = made["ranker"].metrics
    assert found["order_choice"]["by"] == "ndcg@10" and 0.3 < found["valid_dlrm"] < 0.9  # an AUC
    assert found["impression_fusion"].keys() == found["fusion"].keys()
    again = rank_again(tmp_path, logged, order_by="retriever", train_on="impressions")["ranker"].metrics
    assert again["impression_fusion"] == found["impression_fusion"] and again["valid_fused"] == found["valid_fused"]
    assert again["fusion"]["ranker"] == 0


def test_impressions_and_lists_are_learned_together(logged, tmp_path):
    found = rank_again(tmp_path, logged, order_by="auto", train_on="both", refit=True)["ranker"].metrics
    assert found["train_on"] == "both" and "valid_auc" in found and found["refit"]
    assert found["loss"][-1] < found["loss"][0] and found["onnx_max_difference"] < 1e-4


def test_the_newest_impressions_are_learned_in_the_end(logged, tmp_path):
    """The weights differ, the training's metrics do not; target encodings count the validation part as well."""
    again = rank_again(tmp_path / "again", logged, train_on="impressions", refit=True)["ranker"]
    once = rank_again(tmp_path / "once", logged, train_on="impressions")["ranker"]
    assert again.metrics["refit"] and not once.metrics["refit"]
    assert again.metrics["loss"] == once.metrics["loss"] and again.metrics["fusion"] == once.metrics["fusion"]
    tensors, config = Tensors.load(logged["etl"].path), SECTIONS["dlrm_ranker"]
    rows = ImpressionRows(tensors, config).with_newest(config)
    parts = [tensors.interactions(name) for name in ("train", "valid")]
    users = np.concatenate([part.user_row for part in parts])
    assert np.array_equal(rows.events.user_row, users)
    history = np.concatenate([np.asarray(part.history) for part in parts])
    assert np.array_equal(np.asarray(rows.events.moment["history"]), history)
    counts = np.bincount(np.asarray(tensors.users["user_id"])[users, 0])

    def shown(artifact):
        """log(1 + events) in the encoding of each user code."""
        table = load_ranker(artifact, config, tensors).dlrm.users.rates[0].table
        return table.numpy()[2 : len(counts), -1]

    assert shown(again) == pytest.approx(np.log1p(counts[2:]))
    assert (shown(once) < shown(again)).any() and not (again.path / "refit").exists()


@pytest.mark.parametrize("better", ["warm", "cold"])
def test_impressions_take_the_start_that_validates_better(better, logged, tmp_path, monkeypatch):
    """The kept weights are those of the better start, and the other start leaves nothing."""
    worse = "ranker" if better == "cold" else "ranker from random vectors"

    def scored(*given, title, **options):
        model, found, valid = train(*given, title=title, **options)
        return model, replace(found, score=found.score - (title == worse)), valid

    monkeypatch.setattr(training, "train", scored)
    made = rank_again(tmp_path / "auto", logged, train_on="impressions", warm_start=None)["ranker"]
    monkeypatch.undo()
    alone = rank_again(tmp_path / "alone", logged, train_on="impressions", warm_start=better == "warm")["ranker"]
    assert made.metrics["warm_start"] == alone.metrics["warm_start"] == (better == "warm")
    assert made.metrics["loss"] == alone.metrics["loss"]
    of_starts = made.metrics["valid_auc_of_starts"]
    assert max(of_starts, key=of_starts.get) == better and "valid_auc_of_starts" not in alone.metrics
    own, other = (
        load_ranker(each, SECTIONS["dlrm_ranker"], Tensors.load(logged["etl"].path)) for each in (made, alone)
    )
    for ours, theirs in zip(own.dlrm.get_weights(), other.dlrm.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert not (made.path / training.COLD).exists()


def test_a_ranker_of_candidates_starts_at_the_retrievers_vectors(logged, tmp_path):
    made = rank_again(tmp_path, logged, train_on="candidates", warm_start=None)["ranker"].metrics
    assert made["warm_start"] and "valid_auc_of_starts" not in made


def test_lists_beside_impressions_hold_nothing_that_they_tell(logged):
    """Their target encodings are those of the impressions outside the fold of the list's positive."""
    tensors = Tensors.load(logged["etl"].path)
    config = DlrmConfig(train_on="both", negatives=3, random_negatives=1)
    lists = CandidateRows(tensors, retriever(tensors, logged, 20), config, shown_again=True)
    rows = MixedRows(ImpressionRows(tensors, config), lists, config)
    batches = list(rows.batches(np.random.default_rng(0)))
    assert len(batches) == rows.steps
    source = tensors.interactions("train")
    events, fold = Events.of(source), np.random.default_rng(config.training.seed).integers(0, 5, len(source))
    batch = {name.removeprefix("listed:"): values for name, values in batches[0].items() if name.startswith("listed:")}
    for number, (user, item) in enumerate(zip(batch["user_row"], batch["items"][:, 0], strict=True)):
        [own] = np.flatnonzero((events.user_row == user) & (events.item_row == item) & source.positive)
        others = (fold != fold[own]) & (events.item_row == item)
        assert batch["rates:item_id"][number, 0, 1] == pytest.approx(np.log1p(others.sum()))
    shown = set(zip(events.user_row.tolist(), events.item_row.tolist(), strict=True))
    again = [(u, i) in shown for u, row in zip(batch["user_row"], batch["items"][:, 1:4], strict=True) for i in row]
    assert any(again), "what was shown in vain may be a candidate"


@pytest.mark.parametrize("valid", [True, False], ids=["validation", "no validation"])
def test_a_nan_stops_the_run(parts, tmp_path, monkeypatch, valid):
    """It is planted in the second epoch."""
    source = parts if valid else without_validation(tmp_path)
    batches, epochs = CandidateRows.batches, []

    def poisoned(self, rng):
        epochs.append(1)
        for batch in batches(self, rng):
            yield {**batch, "log_rate": batch["log_rate"] * (np.nan if len(epochs) == 2 else 1)}

    monkeypatch.setattr(CandidateRows, "batches", poisoned)
    with pytest.raises(DivergedError, match="ranker, epoch 2: .*(NaN|nan)"):
        rank_again(tmp_path / "runs", source, order_by="auto")


def without_validation(folder):
    shop = make_shop(folder / "shop", users=80, items=30, events=8, rich=False, valid=False)
    return run_stages(folder / "first", shop)
