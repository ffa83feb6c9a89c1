"""A ranker that reads transitions, trained on text ids, in both layouts of a real server."""

import numpy as np
import pytest

from cascade.ensemble.client import Client
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE
from cascade.ensemble.repository.stage import EXPORT
from cascade.ensemble.server.server import TritonServer

USERS = 8


@pytest.fixture(scope="module")
def users(strings):
    ids = np.load(strings.artifacts["etl"].path / "user_ids.npy")
    return [*ids[:USERS].tolist(), "nobody"]


@pytest.fixture(scope="module")
def offline(strings, users):
    """Every column of the graph, as the executor computes it for the users."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REPO_VARIABLE, str(strings.feature_repo))
        executor = Executor.load(strings.version_folder, validate=True)
        request = {"user_id": np.array(users, object)[:, None], "temperature": np.zeros((len(users), 1), np.float32)}
        return executor.run(request, keep=["history", "candidate_rows", "transitions", "item_ids", "scores"])[0]


def test_known_users_have_followers_among_their_candidates_and_others_popularity(offline):
    numbers, there = offline["transitions"], offline["candidate_rows"] >= 0
    assert (numbers[:-1, :, 1].max(axis=1) > 0).any()
    assert not numbers[-1, :, :2].any() and not offline["history"][-1].any()
    assert (numbers[..., 2][there] > 0).all() and not numbers[~there].any()


@pytest.mark.parametrize("layout", ["fused", "ensemble"])
def test_a_server_answers_as_the_executor_does(strings, offline, users, layout, tmp_path, free):
    sections = {key: strings.config.section(key) for key in EXPORT.sections}
    sections["serving"] = sections["serving"].model_copy(update={"layout": layout})
    made = EXPORT.run(tmp_path, sections, {name: strings.artifacts[name] for name in EXPORT.parents})
    name = strings.config.export.model_name
    running = TritonServer(made.path, name, feature_repo=strings.feature_repo, config=free)
    with running as server, Client(server.grpc_url) as client:
        answers = client.recommend(users, temperature=0)
    for answer, ids, scores in zip(answers, offline["item_ids"], offline["scores"], strict=True):
        assert [item.item_id for item in answer.items] == ids[: len(answer.items)].tolist()
        np.testing.assert_allclose([item.score for item in answer.items], scores[: len(answer.items)], rtol=1e-5)
