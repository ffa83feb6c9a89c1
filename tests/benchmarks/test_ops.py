"""Benchmarks of every op of the served graph, and of the whole graph, for one user and for eight."""

from itertools import cycle, islice

import numpy as np
import pytest

from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import OPS
from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE
from cascade.testing.op_contract import assert_declared

KINDS = [kind for kind in OPS if not kind.startswith("miniature")]
REQUESTS = 64


@pytest.fixture(scope="module")
def executor(movielens):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REPO_VARIABLE, str(movielens.feature_repo))
        return Executor.load(movielens.version_folder)


@pytest.fixture(scope="module")
def requests(movielens):
    """A function that yields an endless stream of requests for the given number of users."""
    ids = np.load(movielens.artifacts["etl"].path / "user_ids.npy")
    rng = np.random.default_rng(0)

    def of(users):
        while True:
            for drawn in rng.choice(ids, (REQUESTS, users)):
                yield {"user_id": drawn[:, None], "temperature": np.full((users, 1), 0.5, np.float32)}

    return of


def inputs_of(executor, op, request):
    """The columns that ``op`` reads for ``request``."""
    have = executor.batcher.accept(request)
    for node in executor.nodes:
        reads = {name: have[name] for name in node.op.reads}
        if node.op is op:
            return reads
        have.update(node.op(reads))


@pytest.mark.parametrize("users", [1, 8])
@pytest.mark.parametrize("kind", KINDS)
def test_op(ratio, executor, requests, kind, users):
    op = next(node.op for node in executor.nodes if node.stage == kind)
    inputs = cycle([inputs_of(executor, op, request) for request in islice(requests(users), REQUESTS)])
    assert_declared(ratio(lambda: op(next(inputs))), op.writes)


@pytest.mark.parametrize("users", [1, 8])
def test_whole_path(ratio, executor, requests, users):
    drawn = requests(users)
    answer = ratio(lambda: executor(next(drawn)))
    assert answer["item_ids"].shape == (users, 50)
