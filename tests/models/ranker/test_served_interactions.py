"""Every interaction in the ranker stage and in a release: trained, exported, split, in int8."""

import numpy as np
import pytest
from served import Served
from stage_runs import rank_again, request

from cascade.ensemble.config import RankerServingConfig
from cascade.ensemble.repository.ranker_choice import choose_ranker
from cascade.models.config import DlrmConfig
from cascade.models.ranker.export import relative
from cascade.models.ranker.rows import CandidateRows, Retriever
from cascade.models.ranker.training import validation_score

pytestmark = pytest.mark.slow

USERS, CANDIDATES = 9, 20
KINDS = {
    "dot": {},
    "concat": {"interactions": "concat"},
    "cross": {"interactions": "cross"},
    "cross of low rank": {"interactions": "cross", "cross": {"layers": 3, "rank": 4}},
    "dot, target attention": {"history": {"kind": "target_attention", "heads": 2, "features": ["genres", "price"]}},
    "concat, target attention": {"interactions": "concat", "history": {"kind": "target_attention"}},
    "cross, target attention": {"interactions": "cross", "history": {"kind": "target_attention"}},
    "dot, transitions": {"transitions": {"last": 3}},
    "concat, transitions, target attention": {
        **{"interactions": "concat", "history": {"kind": "target_attention"}},
        "transitions": {"last": 1, "window": 2},
    },
}
WIDTHS = {  # item vectors: 8 of the bottom network, item_id and genres of 8; the user's: 8 and 4 of 8
    "dot": {"item_slots": 24, "item_share": 16},
    "concat": {"item_share": 16},
    "cross": {"item_slots": 24, "item_share": 24 + 40},
    "cross of low rank": {"item_slots": 24, "item_share": 4},
    "dot, target attention": {"item_slots": 24, "item_share": 16, "item_query": 2 * 8},
    "concat, target attention": {"item_share": 16, "item_query": 8},
    "cross, target attention": {"item_slots": 24, "item_share": 24 + 40, "item_query": 8},
    "dot, transitions": {"item_slots": 24, "item_share": 16},
    "concat, transitions, target attention": {"item_share": 16, "item_query": 8},
}
TWO_EPOCHS = {"epochs": 2, "batch_size": 128, "learning_rate": 1e-2}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def ranked(kind, parts, tmp_path_factory):
    """The shop's artifacts with a ranker of this kind, trained for two epochs."""
    return rank_again(tmp_path_factory.mktemp("ranked"), parts, **KINDS[kind], training=TWO_EPOCHS)


@pytest.fixture(scope="module")
def asked(tensors, similarity):
    """Users and their candidates; the last candidate of each is padding."""
    found = request(tensors, USERS, CANDIDATES, similarity)
    rows = np.arange(USERS * CANDIDATES).reshape(USERS, CANDIDATES) % len(tensors.item_ids)
    rows[:, -1] = -1
    users = {name: found[name] for name in (*tensors.schema.names("user", "context"), "query")}
    return {**users, "candidate_rows": rows}


def test_two_epochs_rank_better_than_popularity(ranked, parts, tensors):
    metrics = ranked["ranker"].metrics
    assert np.isfinite(metrics["loss"]).all() and metrics["loss"][-1] < metrics["loss"][0]
    towers, index = parts["two_tower"].path, parts["index"].path
    retriever = Retriever.load(towers / "query_tower.onnx", index / "index.faiss", 20)
    rows = CandidateRows(tensors, retriever, DlrmConfig()).valid(seed=42)
    assert metrics["valid_dlrm"] > validation_score(tensors.item_counts[rows.candidates].astype("f4"), rows)


def test_the_split_is_exact_and_served(kind, ranked, tensors, asked, tmp_path_factory):
    assert ranked["ranker"].metrics["split"]["widths"] == WIDTHS[kind]
    assert ranked["ranker"].metrics["split"]["max_difference"] <= 1e-5
    assert ranked["ranker"].metrics["onnx_max_difference"] <= 1e-5
    whole = Served(ranked, tensors, tmp_path_factory.mktemp("whole"), split="off")
    split = Served(ranked, tensors, tmp_path_factory.mktemp("split"))
    assert (whole.model.name, split.model.name) == ("ranker.onnx", "ranker_pair.onnx")
    assert set(split.lookup.features) == set(WIDTHS[kind])
    expected, got = whole(asked), split(asked)
    assert np.isneginf(got[:, -1]).all() and np.isfinite(got[:, :-1]).all()
    assert relative(got[:, :-1], expected[:, :-1]) <= 1e-5
    alone = np.concatenate([split({name: v[at : at + 1] for name, v in asked.items()}) for at in range(USERS)])
    np.testing.assert_allclose(got, alone, rtol=1e-5, atol=1e-5)


def test_int8_is_judged_and_runs(ranked, tensors, asked, tmp_path_factory):
    judged = ranked["ranker"].metrics["int8"]
    choice = choose_ranker(ranked, RankerServingConfig(precision="int8"))
    good = judged["auc_loss"] < 0.001 and judged["top50_overlap"] > 0.98
    assert choice.model == ("ranker_pair_int8.onnx" if good else "ranker_pair.onnx")
    assert good or choice.notices[0].startswith("serving.ranker.precision: int8 loses")
    ranked["ranker"].metrics["int8"] = {"auc_loss": 0.0, "top50_overlap": 1.0}
    int8 = Served(ranked, tensors, tmp_path_factory.mktemp("int8"), precision="int8")
    fp32 = Served(ranked, tensors, tmp_path_factory.mktemp("fp32"))
    assert int8.model.name == "ranker_pair_int8.onnx"
    expected, got = fp32(asked)[:, :-1], int8(asked)[:, :-1]
    assert np.abs(got - expected).max() > 0 and np.corrcoef(got.ravel(), expected.ravel())[0, 1] > 0.95
