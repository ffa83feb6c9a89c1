"""The served demo: what Triton answers is what the executor gives, in little memory, and soon again after a kill."""

import os
import signal
import time

import numpy as np
import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import CascadeError
from cascade.ensemble.client import Client
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs

pytestmark = pytest.mark.timeout(1500)  # the first test to ask for the pipeline builds it

MEMORY_MB = 400
# One call of B rows and B calls of one may add floats in another order.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def server(movielens, free):
    with TritonServer(
        movielens.model_repository,
        movielens.config.export.model_name,
        feature_repo=movielens.feature_repo,
        config=free,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def users(movielens):
    """500 of the test's users, one that nobody knows among them."""
    ids = np.load(movielens.artifacts["etl"].path / "user_ids.npy")
    return [*np.random.default_rng(0).choice(ids, 499, replace=False).tolist(), int(ids.max()) + 1]


def test_served_equals_offline_for_500_users(movielens, server, users, monkeypatch):
    monkeypatch.setenv("CASCADE_FEATURE_REPO", str(movielens.feature_repo))
    executor = Executor.load(movielens.version_folder)
    column = np.array(users).reshape(-1, 1)
    expected = executor({"user_id": column, "temperature": np.zeros((len(users), 1), np.float32)})
    with Client(server.grpc_url, timeout=HANG_S) as client:
        answers = client.recommend(users, temperature=0)
    assert len(answers) == 500
    for row, answer in enumerate(answers):
        keep = expected["propensities"][row] > 0
        assert [item.item_id for item in answer.items] == expected["item_ids"][row][keep].tolist()
        assert [item.score for item in answer.items] == expected["scores"][row][keep].tolist()
    assert answers[-1].reasons == ["unknown_user"]
    assert not any("features_stale" in answer.reasons for answer in answers)


def test_one_call_of_64_users_equals_64_calls_of_one(server, users):
    with Client(server.grpc_url, timeout=HANG_S) as client:
        together = client.recommend(users[-64:], temperature=0)
        alone = [client.recommend([user], temperature=0)[0] for user in users[-64:]]
    for one, many in zip(alone, together, strict=True):
        assert [item.item_id for item in one.items] == [item.item_id for item in many.items]
        assert [item.score for item in one.items] == pytest.approx([item.score for item in many.items], abs=TOLERANCE)


def test_an_unknown_user_gets_what_is_popular(movielens, server, users):
    etl = movielens.artifacts["etl"].path
    counts = dict(zip(np.load(etl / "item_ids.npy").tolist(), np.load(etl / "item_counts.npy").tolist(), strict=True))
    with Client(server.grpc_url, timeout=HANG_S) as client:
        [answer] = client.recommend(users[-1:], top_k=10)
    assert np.mean([counts[item.item_id] for item in answer.items]) > np.quantile(list(counts.values()), 0.95)


def test_an_instance_keeps_little_for_itself(server, users):
    with Client(server.grpc_url, timeout=HANG_S) as client:
        for _ in range(5):
            client.recommend(users)
    (stub,) = running_stubs(server.pid)
    assert stub.process.memory_full_info().uss / 1e6 < MEMORY_MB


def test_it_answers_again_soon_after_a_kill(server, users):
    with Client(server.grpc_url, timeout=HANG_S) as client:
        client.recommend(users[:1])
        os.kill(running_stubs(server.pid)[0].process.pid, signal.SIGKILL)
        time.sleep(0.1)
        wait_until(lambda: _answers(client, users[:1]))


def _answers(client, users):
    try:
        return bool(client.recommend(users))
    except CascadeError:
        return False
