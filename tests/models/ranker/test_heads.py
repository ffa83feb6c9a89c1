"""Multi-task heads: by hand, and in the ranker stage on a shop with two labels."""

import json

import numpy as np
import pytest
from dlrm_inputs import SCHEMA, columns
from model_shop import make_shop
from scipy.special import expit, logit
from served import Served
from sklearn.metrics import roc_auc_score
from stage_runs import SECTIONS, rank_again, request, run_stages

from cascade.core.errors import DataError
from cascade.evaluation.impressions import ranker_logits
from cascade.evaluation.ranking import RankedRows
from cascade.models._merlin import tf
from cascade.models.config import DlrmConfig
from cascade.models.onnx.export import export, run, session
from cascade.models.ranker.dlrm import build
from cascade.models.ranker.export import relative
from cascade.models.ranker.heads import (
    combine,
    draw_label,
    has_both_labels,
    label_aucs,
    mean_auc,
    shares,
    targets,
)
from cascade.models.ranker.rows import ImpressionRows
from cascade.models.ranker.stage import not_learned
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors

LABELS = {"click": {"serve": 3}, "like": {"weight": 0.5, "positive_weight": 2, "serve": 1}}


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, np.float64)))


def test_one_logit_of_the_weighted_mean_by_hand():
    """0.75 * 0.8 + 0.25 * 0.2 = 0.65."""
    of = [tf.constant([[np.log(0.8 / 0.2)]], tf.float32), tf.constant([[np.log(0.2 / 0.8)]], tf.float32)]
    assert float(combine(of, (0.75, 0.25))) == pytest.approx(np.log(0.65 / 0.35), rel=1e-6)


@pytest.mark.parametrize("both", [-200.0, -60.0, 60.0, 200.0])
def test_heads_that_agree_keep_their_logit_however_certain(both):
    got = float(combine([tf.constant([[both]]), tf.constant([[both]])], (0.5, 0.5)))
    assert got == pytest.approx(both, rel=1e-6)


def test_onnx_runtime_gives_the_same_where_its_sigmoid_is_constant(tmp_path):
    class Combined(tf.keras.Model):
        def call(self, columns):
            return combine(tf.split(columns["heads"], 2, axis=1), (0.3, 0.7))

    heads = np.stack(np.meshgrid(np.linspace(-60, 60, 25), np.linspace(-60, 60, 25)), -1).reshape(-1, 2).astype("f4")
    export(tmp_path / "combined.onnx", Combined(), [tf.TensorSpec([None, 2], name="heads")], "logits")
    got = run(session(tmp_path / "combined.onnx"), {"heads": heads})
    chance = (np.array([0.3, 0.7]) * expit(heads.astype(float))).sum(axis=1)
    sure = np.abs(heads).max(axis=1) < 30  # where a float64 still holds 1 - chance
    np.testing.assert_allclose(got[sure, 0], logit(chance[sure]), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(got, Combined()({"heads": heads}), rtol=1e-5, atol=1e-5)


def test_one_label_keeps_its_logit():
    only = tf.constant([[1.5]])
    assert combine([only], shares({})) is only and shares({}) == (1.0,)


def test_serving_weights_are_normalized():
    labels = DlrmConfig.model_validate({"labels": {"a": {"serve": 3}, "b": {}, "c": {"serve": 0}}}).labels
    assert shares(labels) == (0.75, 0.25, 0.0)


def test_a_drawn_label_is_the_score_on_average():
    happened = np.array([[1, 0]] * 4000 + [[0, 1]] * 4000, np.float32)
    drawn = draw_label(happened, (0.75, 0.25), seed=0)
    assert drawn[:4000].mean() == pytest.approx(0.75, abs=0.03) and drawn[4000:].mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(drawn, draw_label(happened, (0.75, 0.25), seed=0))


def test_an_auc_for_each_label_by_hand():
    """The first head orders 3 of 4 pairs rightly; the second label is always 0."""
    logits = np.array([[4.0, 1], [1, 1], [3, 2], [2, 0]], np.float32)
    happened = np.array([[1, 0], [0, 0], [0, 0], [1, 0]], np.float32)
    assert label_aucs(logits, happened) == [3 / 4, None]


def test_the_mean_of_aucs_is_as_served():
    assert mean_auc([0.9, None, 0.5], (0.25, 0.5, 0.25)) == pytest.approx(0.7)


def test_a_served_label_must_vary_to_be_validated():
    happened = np.array([[1, 0], [1, 1]], np.float32)
    assert has_both_labels(happened, (0.5, 0.5)) and not has_both_labels(happened, (1.0, 0.0))
    assert not has_both_labels(happened[:1], (0.5, 0.5))


@pytest.mark.parametrize("interactions", ["dot", "concat", "cross"])
def test_heads_share_all_but_their_top_network(interactions):
    config = {"default_dim": 4, "bottom_mlp": [8, 6], "top_mlp": [7, 3, 1], "interactions": interactions}
    model = build(SCHEMA, DlrmConfig.model_validate({**config, "labels": LABELS}))
    batch = columns(SCHEMA, 2, 3)
    heads, one = model(batch, heads=True).numpy(), model(batch).numpy()
    assert heads.shape == (2, 3, 2) and np.abs(heads[..., 0] - heads[..., 1]).max() > 1e-4
    np.testing.assert_allclose(sigmoid(one), sigmoid(heads) @ [0.75, 0.25], rtol=1e-5)
    single = build(SCHEMA, DlrmConfig.model_validate(config))
    single(batch)
    more = sum(np.prod(w.shape) for w in model.weights) - sum(np.prod(w.shape) for w in single.weights)
    assert more == (7 * 3 + 3) + (3 * 1 + 1)


@pytest.mark.parametrize(
    ("learned", "said", "added"),
    [
        ({}, "does not learn click, like", "{ label: {}, click: { serve: 0 }, like: { serve: 0 } }"),
        ({"click": {}}, "does not learn like", "{ like: { serve: 0 } }"),
        ({"click": {}, "like": {}}, None, None),
    ],
)
def test_labels_that_nothing_learns_are_noticed(learned, said, added, tmp_path):
    tensors = Tensors.load(make_shop(tmp_path, label=True, labels=True)["etl"].path)
    notices = not_learned(tensors, DlrmConfig.model_validate({"labels": learned}))
    way = f"to learn them as well, without a weight in the score, add to dlrm_ranker.labels: {added}"
    assert notices == ([f"data.labels: the ranker {said}; {way}"] if said else [])


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A shop's artifacts with a ranker of two labels."""
    folder = tmp_path_factory.mktemp("logged")
    parts = run_stages(folder, make_shop(folder / "shop", label=True, labels=True), type="flat")
    training = {"epochs": 6, "batch_size": 128, "learning_rate": 5e-3, "patience": 6}
    return rank_again(folder, parts, labels=LABELS, training=training)


@pytest.mark.slow
def test_the_stage_reports_the_auc_of_each_label(logged):
    metrics = logged["ranker"].metrics
    assert metrics["train_on"] == "impressions" and metrics["valid_auc_of"].keys() == {"click", "like"}
    assert metrics["valid_auc_of"]["like"] > 0.6  # items alone predict it that well
    mean = 0.75 * metrics["valid_auc_of"]["click"] + 0.25 * metrics["valid_auc_of"]["like"]
    assert metrics["valid_auc"] == pytest.approx(mean)


@pytest.mark.slow
def test_one_logit_is_served_split_and_whole(logged, tmp_path_factory):
    metrics, tensors = logged["ranker"].metrics, Tensors.load(logged["etl"].path)
    assert metrics["onnx_max_difference"] < 1e-4 and metrics["split"]["max_difference"] <= 1e-5
    found = request(tensors, 5, 6)
    asked = {name: found[name] for name in tensors.schema.names("user", "context")}
    asked["candidate_rows"] = np.arange(30).reshape(5, 6)
    dim = np.load(logged["index"].path / "item_vectors.npy", mmap_mode="r").shape[1]
    asked["query"] = np.zeros((5, dim), np.float32)
    whole, split = (Served(logged, tensors, tmp_path_factory.mktemp(how), split=how) for how in ("off", "auto"))
    assert {v.name for v in whole.rank.model.session.get_outputs()} == {"logits"}
    assert not {name for name in whole.rank.reads if "click" in name or "like" in name}
    assert whole(asked).shape == (5, 6) and relative(split(asked), whole(asked)) <= 1e-5


@pytest.mark.slow
def test_targets_are_the_labels_in_their_order(logged):
    events = Events.of(Tensors.load(logged["etl"].path).interactions("valid")).take(np.arange(9))
    got = targets(events, ("like", "label"))
    assert got.tolist() == np.stack([events.labels["like"], events.label], axis=1).tolist()


@pytest.mark.slow
def test_a_constant_label_is_an_error(logged, monkeypatch):
    tensors = Tensors.load(logged["etl"].path)
    source = tensors.interactions("train")
    source.labels["like"] = np.zeros(len(source), np.float32)
    monkeypatch.setattr(Tensors, "interactions", lambda self, split: source)
    with pytest.raises(DataError, match="interactions.like: must hold both 0 and 1 in the .* rows, like has 0; leave"):
        ImpressionRows(tensors, DlrmConfig.model_validate({"labels": LABELS}))


@pytest.mark.slow
def test_the_manifest_holds_it_as_json(logged):
    assert json.loads((logged["ranker"].path / "manifest.json").read_text())["metrics"]["valid_auc_of"]["click"]


@pytest.mark.slow
def test_the_evaluation_asks_each_head_for_its_own_label(logged):
    tensors, config = (
        Tensors.load(logged["etl"].path),
        DlrmConfig.model_validate({**SECTIONS["dlrm_ranker"].model_dump(), "labels": LABELS}),
    )
    events = Events.of(tensors.interactions("valid"))
    served = RankedRows(*np.zeros((5, len(events)), np.float32))
    got = ranker_logits(served, events, tensors, logged, config)
    known = logged["ranker"].metrics["valid_auc_of"]
    for name, logits in got.items():
        assert roc_auc_score(events.labels[name] > 0, logits) == pytest.approx(known[name])
