"""Benchmarks of every op of the served graph, and of the whole graph, for one user and for eight."""

from itertools import cycle, islice

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.ops import OPS, MergeNeighbours
from cascade.ensemble.graph.ops.lookup_user import REPO_VARIABLE
from cascade.models.retriever.item_to_item.neighbour_weights import NeighbourWeights
from cascade.testing.op_contract import assert_declared

KINDS = [kind for kind in OPS if not kind.startswith("miniature") and kind != MergeNeighbours.kind]
"""Not every release has item-item weights, so those are measured by themselves."""
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


@pytest.fixture(scope="module")
def merge(tmp_path_factory):
    """The op for 10,000 items with 100 neighbours each, and a function that draws its inputs: histories of 50 items."""
    folder, rng = tmp_path_factory.mktemp("merge"), np.random.default_rng(0)
    items, beside, length, dim, topk = 10_000, 100, 50, 64, 200
    vectors = rng.normal(size=(items, dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "item_vectors.npy", vectors)
    rows = np.concatenate([np.sort(rng.choice(items, beside, replace=False)) for _ in range(items)])
    weights = csr_matrix((0.1 * rng.random(len(rows), np.float32), rows, np.arange(0, len(rows) + 1, beside)))
    NeighbourWeights.of(weights).save(folder)
    op = MergeNeighbours(topk, dim, length)
    op.load(folder)

    def inputs(users):
        history, query = rng.integers(1, items, (users, length)), vectors[rng.integers(0, items, users)]
        nearest = np.argsort(-query @ vectors.T, axis=1)[:, : topk + length]
        return {"query": query, "history": history, "retrieved_rows": nearest, "seen_rows": history}

    return op, inputs


@pytest.mark.parametrize("users", [1, 8, 64])
def test_merge_neighbours(ratio, merge, users):
    op, inputs = merge
    drawn = cycle([inputs(users) for _ in range(REQUESTS)])
    assert_declared(ratio(lambda: op(next(drawn))), op.writes)


@pytest.mark.parametrize("users", [1, 8])
def test_whole_path(ratio, executor, requests, users):
    drawn = requests(users)
    answer = ratio(lambda: executor(next(drawn)))
    assert answer["item_ids"].shape == (users, 50)
