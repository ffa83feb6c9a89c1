"""The floors make the same library calls as the stages, on the same data."""

import os

import numpy as np
import pytest

from cascade.bench.floors import CALLS, floors, steps_of
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE


@pytest.fixture
def users(shop):
    return np.load(shop.artifacts["etl"].path / "user_ids.npy")


@pytest.fixture
def one(shop, users, monkeypatch):
    """Stage -> its op and the columns after it, for one request."""
    monkeypatch.setenv(REPO_VARIABLE, str(shop.feature_repo))
    executor = Executor.load(shop.version_folder)
    request = {"user_id": users[:1, None], "temperature": np.array([[0.5]], np.float32)}
    return {node.stage: (node.op, columns) for node, columns in steps_of(executor, request)}


@pytest.mark.slow
def test_every_stage_has_a_floor_and_the_environment_is_restored(shop, users, monkeypatch):
    monkeypatch.setenv(REPO_VARIABLE, "mine")
    found = floors(shop.version_folder, shop.feature_repo, users)
    assert list(found) == [stage for stage in CALLS if stage != "merge_neighbours"]  # the shop has no weights
    assert all(ms > 0 for ms in found.values())
    assert os.environ[REPO_VARIABLE] == "mine"


def test_the_calls_return_what_the_stages_return(one):
    calls = {stage: CALLS[stage](op, columns) for stage, (op, columns) in one.items()}
    columns = one["respond"][1]
    valid = columns["candidate_rows"] >= 0
    np.testing.assert_allclose(calls["encode_query"]()[0], columns["query"], rtol=1e-5)
    np.testing.assert_allclose(calls["rank"]()[0][valid], columns["logits"][valid], rtol=1e-5)
    for table, name in zip(calls["lookup_items"](), one["lookup_items"][0].tables, strict=True):
        np.testing.assert_array_equal(table[valid], columns[name][valid])
    retrieved = calls["retrieve"]()[1]
    assert set(retrieved[0].tolist()) <= set(columns["retrieved_rows"][0].tolist()) | {-1}
    np.testing.assert_array_equal(calls["respond"](), columns["item_ids"])
    lists = [value.int64_list_val.val for value in calls["lookup_user"]() if value.HasField("int64_list_val")]
    assert any(list(ids) == columns["history_ids"][0, : len(ids)].tolist() for ids in lists)
