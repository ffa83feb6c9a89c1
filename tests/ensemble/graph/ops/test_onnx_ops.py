"""encode_query and rank, with the miniature's hand-made models."""

import numpy as np
import onnxruntime
import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.ops.encode_query import EncodeQuery
from cascade.ensemble.graph.ops.rank import Rank
from cascade.testing.miniature import (
    DIM,
    ITEM_FEATURES,
    ITEM_INPUTS,
    ITEMS,
    LENGTH,
    USER_FEATURES,
    USER_INPUTS,
    USERS,
)
from cascade.testing.miniature_models import save_query_tower, save_ranker
from cascade.testing.op_contract import OpContract


def users(count):
    rng = np.random.default_rng(count)
    return {
        "user_id": rng.integers(0, USERS + 2, (count, 1)),
        "gender": rng.integers(1, 4, (count, 1)),
        "hour": rng.random((count, 1), dtype=np.float32),
        "history": rng.integers(0, ITEMS + 2, (count, LENGTH)),
    }


def candidates(rows):
    rows = np.array(rows, dtype=np.int64)
    item = {"item_code": np.maximum(rows, 0)[..., None] + 2, "price": (rows / 10).astype(np.float32)[..., None]}
    return {**item, "candidate_rows": rows}


def encoder(folder):
    save_query_tower(folder / "query_tower.onnx", USER_FEATURES, DIM)
    op = EncodeQuery(USER_INPUTS, DIM)
    op.load(folder)
    return op


def ranker(folder):
    save_ranker(folder / "ranker.onnx", USER_FEATURES, ITEM_FEATURES, DIM)
    op = Rank(USER_INPUTS, ITEM_INPUTS)
    op.load(folder)
    return op


class TestEncodeQuery(OpContract):
    rtol = 1e-5

    def make_op(self, folder):
        return encoder(folder)

    def make_batch(self):
        return users(33)


class TestRank(OpContract):
    rtol = 1e-5

    def make_op(self, folder):
        return ranker(folder)

    def make_batch(self):
        return {**users(4), **candidates([[1, 2, 3], [4, 5, -1], [-1, -1, -1], [29, 0, 7]])}


def test_query_is_the_model_s_own_output(tmp_path):
    op, batch = encoder(tmp_path), users(5)
    session = onnxruntime.InferenceSession(str(tmp_path / "query_tower.onnx"))
    np.testing.assert_allclose(op(batch)["query"], session.run(["query"], batch)[0], rtol=1e-5)


def test_padding_scores_minus_infinity_and_does_not_affect_candidates(tmp_path):
    rank, user = ranker(tmp_path), users(1)
    short = rank({**user, **candidates([[4, 5]])})["logits"]
    long = rank({**user, **candidates([[4, 5, -1]])})["logits"]
    assert long[0, 2] == -np.inf
    np.testing.assert_allclose(long[:, :2], short, rtol=1e-6)
    assert np.isfinite(short).all() and short[0, 0] != short[0, 1]


def test_a_model_of_other_inputs_is_refused(tmp_path):
    encoder(tmp_path)
    wrong = EncodeQuery({"user_id": ("int64", 1), "device": ("int64", 1)}, DIM)
    with pytest.raises(ArtifactError, match="query_tower.onnx: expected inputs .*device.*has .*gender"):
        wrong.load(tmp_path)


def test_a_model_of_another_output_is_refused(tmp_path):
    save_query_tower(tmp_path / "ranker.onnx", USER_FEATURES, DIM)
    with pytest.raises(ArtifactError, match="expected an output logits"):
        Rank(USER_INPUTS, {}).load(tmp_path)
