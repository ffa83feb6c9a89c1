"""A release whose ranker was left out answers in every layout, with calibrated scores in the retriever's order."""

import json

import numpy as np
import onnxruntime
import pytest

import cascade
from cascade.config.load import config_with_origins
from cascade.core.artifact import Artifact

pytestmark = pytest.mark.slow

LAYOUTS = {
    "fused": {},
    "ensemble": {"serving.layout": "ensemble"},
    "onnxruntime": {"serving.layout": "ensemble", "serving.backend": "onnxruntime"},
}


@pytest.fixture(scope="module")
def released(strings, tmp_path_factory):
    """Layout -> config and artifacts."""
    folder, made = tmp_path_factory.mktemp("released"), {}
    for name, serving in LAYOUTS.items():
        sets = {
            **serving,
            "dlrm_ranker.order_by": "retriever",
            "serving.rerank.diversity_lambda": 0,
            "feature_store.repo": strings.feature_repo,
            "export.repository": folder / name,
        }
        config, _ = config_with_origins(strings.config_file, [f"{key}={value}" for key, value in sets.items()], {})
        made[name] = config, cascade.run(config, strings.runs, only=["export"])
    return made


@pytest.mark.parametrize("layout", ["fused", "ensemble"])
def test_the_list_is_the_retrievers_and_its_scores_are_probabilities(released, layout):
    config, made = released[layout]
    users = [f"user-{at:02d}" for at in range(6)]
    with cascade.open_release(config) as release:
        found = release.recommend(users, top_k=5)
        shown = release.explain(users[0], top_k=5).items
    frame = found.to_frame()
    assert frame.groupby("user_id")["score"].apply(lambda s: s.is_monotonic_decreasing).all()
    assert frame["score"].between(0, 1).all() and (frame["rank"] == 1).sum() == 6
    of_list = shown[shown["rank"].notna()]
    assert of_list["retrieval_rank"].is_monotonic_increasing
    assert made["ranker"].metrics["order"] == "retriever"


def test_all_layouts_give_one_answer(released):
    lists = []
    for layout in ("fused", "ensemble"):
        with cascade.open_release(released[layout][0]) as release:
            lists.append(release.recommend(["user-03", "nobody"], top_k=8).to_frame()[["item_id", "score"]])
    assert lists[0].equals(lists[1])


def test_no_model_of_the_ranker_is_served(released):
    config, made = released["fused"]
    [version] = made["export"].path.glob("*/*/graph.json")
    nodes = {node["op"]: node["params"] for node in json.loads(version.read_text())["nodes"]}
    assert nodes["rank"]["user_inputs"].keys() == {"query"}
    assert nodes["rank"]["item_inputs"].keys() == {"item_vectors"} and nodes["lookup_items"]["features"] == {}
    assert (version.parent / "nodes").exists()
    [model] = version.parent.rglob("ranker.onnx")
    assert model.stat().st_size < 2000


def test_the_onnxruntime_backend_runs_it(released):
    made: dict[str, Artifact] = released["onnxruntime"][1]
    [model] = made["export"].path.glob("*_rank/1/model.onnx")
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    line, rng = made["ranker"].metrics["fusion"], np.random.default_rng(0)
    dim = next(value.shape[1] for value in session.get_inputs() if value.name == "query")
    feed = {"query": rng.normal(size=(2, dim)), "item_vectors": rng.normal(size=(2, 3, dim))}
    cosine = np.einsum("nd,nkd->nk", feed["query"], feed["item_vectors"])
    asked = {name: values.astype("f4") for name, values in feed.items()} | {
        "candidate_rows": np.array([[0, 1, -1]] * 2)
    }
    for value in session.get_inputs():
        if value.name not in asked:
            asked[value.name] = np.zeros((2, value.shape[1]), "f4")
    logits = session.run(["logits"], asked)[0]
    np.testing.assert_allclose(logits[:, :2], (line["retriever"] * cosine + line["bias"])[:, :2], rtol=1e-4)
    assert np.isneginf(logits[:, 2]).all()
