"""The stages two_tower, index and ranker on several kinds of shops, and their files as the served graph uses them."""

import json

import numpy as np
import pytest
from model_shop import make_shop
from scipy.sparse import csr_matrix
from stage_runs import SECTIONS, request, run_stage, run_stages

from cascade.core.errors import ConfigError
from cascade.models.index.stage import query_vectors
from cascade.models.onnx.export import run, session
from cascade.models.ranker.candidates import retrieve
from cascade.models.ranker.stage import trains_on
from cascade.models.retriever.stage import TWO_TOWER, load_towers
from cascade.models.retriever.user_items import UserItems
from cascade.models.training.rows import (
    Events,
    item_columns,
    unknown_user,
    user_columns,
)
from cascade.workflows.etl.tensors import Tensors

pytestmark = pytest.mark.slow

SHAPES = {
    "only string ids, no validation": {"rich": False, "strings": True, "valid": False},
    "impressions": {"label": True},
    "dislikes": {"dislikes": True},
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_shops_of_other_kinds(shape, tmp_path):
    made = run_stages(tmp_path, make_shop(tmp_path / "shop", users=80, items=30, events=8, **shape))
    metrics = made["ranker"].metrics
    assert metrics["train_on"] == ("impressions" if shape.get("label") else "candidates")
    assert metrics["onnx_max_difference"] < 1e-4
    if not shape.get("valid", True):
        assert metrics["fusion"] == {"ranker": 1.0, "retriever": 0.0, "bias": 0.0, "curve": None}
        assert metrics["notices"] == [
            "no validation part: trained for all 4 epochs",
            "dlrm_ranker.order_by: fused needs a validation part with positives and negatives, and there is none, so "
            "it is dlrm",
            "dlrm_ranker.calibration: platt needs a validation part, so it is none",
        ]


def test_files_and_metrics(parts, tensors):
    assert {p.name for p in parts["two_tower"].path.iterdir()} == {
        "query_tower.onnx",
        "item_tower.onnx",
        "checkpoint",
        "manifest.json",
    }
    assert {p.name for p in parts["index"].path.iterdir()} == {
        "item_vectors.npy",
        "index.faiss",
        "index.json",
        "manifest.json",
    }
    models = {"ranker.onnx", "ranker_item.onnx", "ranker_pair.onnx", "ranker_pair_int8.onnx"}
    assert {p.name for p in parts["ranker"].path.iterdir()} == {*models, "checkpoint", "manifest.json"}
    assert parts["two_tower"].metrics.keys() >= {"valid_recall@100", "valid_ndcg@10", "onnx_max_difference"}
    assert parts["index"].parents["two_tower"] == parts["two_tower"].digest


def test_a_gpu_index_falls_back_to_its_cpu_type_with_a_notice(parts):
    info = json.loads((parts["index"].path / "index.json").read_text())
    assert info["type"] == "hnsw" and info["metric"] == "inner_product"
    assert parts["index"].metrics["notices"][0].startswith("serving.ann.type gpu_hnsw: no GPU")


def test_recall_is_measured_on_validation_events_and_on_unknown_users(parts, tensors):
    info = json.loads((parts["index"].path / "index.json").read_text())
    events = Events.positives(tensors.interactions("valid"))
    assert {name: group["count"] for name, group in info["queries"].items()} == {
        "known": len(events),
        "unknown": -(-len(events) // 4),
    }
    assert min(info["recall"], *(group["recall"] for group in info["queries"].values())) >= info["recall_target"]
    assert parts["index"].metrics["recall"] == info["recall"]


def test_queries_are_the_towers_output_for_known_and_unknown_users(parts, tensors):
    tower = parts["two_tower"].path / "query_tower.onnx"
    got = query_vectors(tensors, tower)
    events = Events.positives(tensors.interactions("valid"))
    np.testing.assert_allclose(got["known"], run(session(tower), user_columns(tensors, events)), atol=1e-6)
    stranger = {
        name: row[None].astype(tensors.schema[name].dtype)
        for name, row in unknown_user(tensors.schema, tensors.users).items()
    }
    for at in (0, 4):
        hour = user_columns(tensors, events)["hour"][at : at + 1]
        expected = run(session(tower), {**stranger, "hour": hour})
        np.testing.assert_allclose(got["unknown"][at // 4], expected[0], atol=1e-6)


def test_queries_without_a_validation_part_come_from_training(tmp_path, parts):
    shop = make_shop(tmp_path, valid=False)
    tensors = Tensors.load(shop["etl"].path)
    got = query_vectors(tensors, parts["two_tower"].path / "query_tower.onnx")
    assert (len(got["known"]), len(got["unknown"])) == (1000, 250)


def test_item_vectors_are_the_towers_output(parts, tensors):
    vectors = np.load(parts["index"].path / "item_vectors.npy")
    model = load_towers(parts["two_tower"].path, tensors)
    expected = model.candidate(item_columns(tensors, np.arange(len(tensors.item_ids)))).numpy()
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


@pytest.fixture(scope="module")
def ranker(parts):
    return session(parts["ranker"].path / "ranker.onnx")


def test_ranker_reads_all_features_by_name_and_the_retrievers_vectors(parts, ranker, tensors):
    assert parts["ranker"].metrics["fusion"]["retriever"] > 0
    assert {v.name for v in ranker.get_inputs()} == {f.name for f in tensors.schema} | {"query", "item_vectors"}
    assert [v.name for v in ranker.get_outputs()] == ["logits"]
    assert {v.type for v in ranker.get_inputs()} == {"tensor(int64)", "tensor(float)"}


@pytest.mark.parametrize("users", [0, 1, 5])
def test_query_tower_takes_any_number_of_users(parts, tensors, users):
    model = session(parts["two_tower"].path / "query_tower.onnx")
    assert {v.name for v in model.get_inputs()} == set(tensors.schema.names("user", "context"))
    query = run(model, request(tensors, users))
    assert query.shape == (users, 8)
    np.testing.assert_allclose(np.linalg.norm(query, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(("users", "candidates"), [(1, 0), (0, 4), (1, 1), (3, 7)])
def test_ranker_takes_any_shape(ranker, tensors, similarity, users, candidates):
    assert run(ranker, request(tensors, users, candidates, similarity)).shape == (users, candidates)


def test_the_retrievers_cosine_is_added_with_its_weight(parts, ranker, tensors, similarity):
    batch = request(tensors, similarity=similarity)
    alone = run(ranker, {**batch, "query": np.zeros_like(batch["query"])})
    cosine = np.einsum("nd,nkd->nk", batch["query"], batch["item_vectors"])
    weight = parts["ranker"].metrics["fusion"]["retriever"]
    np.testing.assert_allclose(run(ranker, batch) - alone, weight * cosine, atol=1e-4)


def test_rows_of_a_batch_are_independent(ranker, tensors, similarity):
    batch = request(tensors, similarity=similarity)
    single = [run(ranker, {name: values[at : at + 1] for name, values in batch.items()}) for at in range(4)]
    np.testing.assert_allclose(run(ranker, batch), np.concatenate(single), rtol=1e-4, atol=1e-5)


def test_logits_do_not_depend_on_the_other_candidates(ranker, tensors, similarity):
    batch, of_items = request(tensors, similarity=similarity), {*tensors.schema.names("item"), "item_vectors"}
    part = {name: values[:, 2:4] if name in of_items else values for name, values in batch.items()}
    np.testing.assert_allclose(run(ranker, batch)[:, 2:4], run(ranker, part), rtol=1e-4, atol=1e-5)


def test_an_unknown_user_gets_popular_items(parts, ranker, tensors):
    unknown = {
        name: values[None].astype(tensors.schema[name].dtype)
        for name, values in unknown_user(tensors.schema, tensors.users).items()
    }
    unknown["hour"] = np.zeros((1, 1), np.float32)
    import faiss

    query = run(session(parts["two_tower"].path / "query_tower.onnx"), unknown)
    count = len(tensors.item_ids)
    index = faiss.read_index(str(parts["index"].path / "index.faiss"))
    rows = retrieve(index, query, UserItems(csr_matrix((1, count), dtype=bool), np.zeros(1, int)), 20)
    vectors = np.load(parts["index"].path / "item_vectors.npy")[rows]
    logits = run(ranker, {**unknown, **item_columns(tensors, rows), "query": query, "item_vectors": vectors})
    top = rows[0, np.argsort(-logits[0])[:10]]
    assert tensors.item_counts[top].mean() > 1.5 * tensors.item_counts.mean()


def test_a_second_run_gives_the_same_artifact(parts, shop, tmp_path):
    again = run_stage(tmp_path, TWO_TOWER, SECTIONS["two_tower"].model_dump_json(), shop)
    for name in ("query_tower.onnx", "item_tower.onnx"):
        request_rows = request(Tensors.load(shop["etl"].path), 3, 1)
        flat = {n: v.reshape(len(v), -1) for n, v in request_rows.items()}
        first, second = (run(session(part.path / name), flat) for part in (parts["two_tower"], again))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("wanted", "label", "got"),
    [("auto", True, "impressions"), ("auto", False, "candidates"), ("candidates", True, "candidates")],
)
def test_what_the_ranker_trains_on(wanted, label, got, tmp_path):
    (tmp_path / "tables.json").write_text(json.dumps({"has_label": label}))
    assert trains_on(wanted, tmp_path) == got


def test_impressions_without_a_label_are_refused(tmp_path):
    (tmp_path / "tables.json").write_text(json.dumps({"has_label": False}))
    with pytest.raises(ConfigError, match="dlrm_ranker.train_on: impressions needs a 0/1 column label"):
        trains_on("impressions", tmp_path)
