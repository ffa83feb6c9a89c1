"""The floor of each stage: the CPU time of its library calls alone, one user at a time.

The CPU time of a served request above their sum is overhead: Triton's transport, checks, columns between the steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..core.signature import Columns
    from ..ensemble.graph.executor import Executor
    from ..ensemble.graph.wiring import Node

Call = Callable[[], object]
USERS = 300
"""Number of requests that each floor is measured with."""
TEMPERATURE = 0.5
"""Sampling temperature of these requests."""


def floors(version: Path, feature_repo: Path, user_ids: NDArray[Any]) -> dict[str, float]:
    """CPU milliseconds of each stage's library calls for one user, measured on randomly drawn users.

    Empty for a graph with custom ops, whose floors are unknown.

    Args:
        version: version folder of the exported fused model.
        feature_repo: the Feast repository whose online store the model reads, in sqlite or Redis.
        user_ids: [users] raw ids.
    """
    from ..ensemble.graph.executor import Executor
    from ..evaluation.served_graph import feature_repo_at

    with feature_repo_at(feature_repo):
        executor = Executor.load(version)
    if not set(executor.stages) <= set(CALLS):
        return {}
    users = np.random.default_rng(0).choice(user_ids, USERS).astype(executor.signature["user_id"].dtype)
    calls: dict[str, list[Call]] = {node.stage: [] for node in executor.nodes}
    for user in users:
        request = {"user_id": np.array([[user]], users.dtype), "temperature": np.full((1, 1), TEMPERATURE, np.float32)}
        for node, columns in steps_of(executor, request):
            calls[node.stage].append(CALLS[node.stage](node.op, columns))
    return {stage: _cpu_ms(some) for stage, some in calls.items()}


def steps_of(executor: Executor, request: Columns) -> Iterator[tuple[Node, Columns]]:
    """Each node of the graph, with all columns after it has run. A later node may replace a column."""
    have = executor.batcher.accept(request)
    for node in executor.nodes:
        have = {**have, **node.op({name: have[name] for name in node.op.reads})}
        yield node, have


def _cpu_ms(calls: list[Call]) -> float:
    """Mean CPU milliseconds of a call.

    All calls run once to warm up the libraries. They are then timed in the same order, so that the data of a call is no
    longer in the CPU's caches.
    """
    for call in calls:
        call()
    start = time.thread_time()
    for call in calls:
        call()
    return 1000 * (time.thread_time() - start) / len(calls)


def _lookup_user(op: Any, columns: Columns) -> Call:
    """Read the user's rows from the store, and parse each value with Feast's protobuf message."""
    from ..workflows.features.online import entity_key
    from ..workflows.features.values import value_message

    parse = value_message().FromString
    reader = op.reader.reader  # without its circuit breaker
    stored = reader.query
    key = entity_key(stored.key, columns["user_id"][0, 0])
    if not hasattr(reader, "connection"):
        pool, fields = reader.pool, [name for names in stored.views.values() for name in names]
        from redis import Redis

        client = Redis(connection_pool=pool)
        return lambda: client.hmget(key + stored.project.encode(), fields)
    queries = [f"SELECT feature_name, value FROM {table} WHERE entity_key = ?" for table in reader.tables]
    run = reader.connection.execute
    return lambda: [parse(value) for query in queries for _, value in run(query, (key,)).fetchall()]


def _transform(op: Any, columns: Columns) -> Call:
    """A lookup in a dense table for each feature."""
    codes = [np.asarray(columns[name], np.int64) for name, spec in op.writes.items() if spec.dtype == "int64"]
    tables = [np.arange(max(int(values.max(initial=0)), 1) + 2) for values in codes]
    return lambda: [np.take(table, values) for table, values in zip(tables, codes, strict=True)]


def _model(op: Any, columns: Columns) -> Call:
    model = op.model
    feed = {name: np.ascontiguousarray(columns[name]) for name in model.names}
    return lambda: model.session.run(model.output, feed)


def _retrieve(op: Any, columns: Columns) -> Call:
    query = np.ascontiguousarray(columns["query"])
    return lambda: op.index.search(query, min(op.topk, op.index.ntotal))


def _drop_seen(op: Any, columns: Columns) -> Call:
    return lambda: np.isin(columns["retrieved_rows"], columns["seen_rows"])


def _merge_neighbours(op: Any, columns: Columns) -> Call:
    """The weights of the history's items summed up by item, and the inner products of the items that these reach."""
    start, row, weight = op.weights.start, op.weights.row, op.weights.weight
    codes = columns["history"][columns["history"] > 0]
    at = np.concatenate([np.arange(0), *(np.arange(start[code], start[code + 1]) for code in codes)])
    reached = np.unique(np.concatenate([row[at], columns["retrieved_rows"][columns["retrieved_rows"] >= 0]]))
    return lambda: np.bincount(row[at], weight[at]) + np.sort(op.vectors[reached] @ columns["query"][0])[0]


def _lookup_items(op: Any, columns: Columns) -> Call:
    rows = np.maximum(columns["candidate_rows"], 0)
    return lambda: [np.take(table, rows, axis=0) for table in op.tables.values()]


def _order(op: Any, columns: Columns) -> Call:
    """MMR by its numba kernel, and Gumbel top-k by numpy."""
    from ..ensemble.graph.ops.diversity import diverse_pool

    logits = columns["logits"]
    relevance = 1 / (1 + np.exp(-logits.astype(np.float64)))
    valid, pool = columns["candidate_rows"] >= 0, np.empty(logits.shape, np.bool_)
    vectors, sizes = columns["item_vectors"], np.full((1, 1), op.pool, np.int32)
    rng, count = np.random.default_rng(0), min(op.pool, logits.shape[1]) - 1

    def call() -> object:
        diverse_pool(relevance, vectors, valid, sizes, op.diversity_lambda, pool)
        return np.argpartition(-(logits[0] / TEMPERATURE + rng.gumbel(size=logits.shape[1])), count)

    return call


def _respond(op: Any, columns: Columns) -> Call:
    return lambda: op.item_ids[columns["ranked_rows"]]


CALLS: Mapping[str, Callable[[Any, Columns], Call]] = {
    "lookup_user": _lookup_user,
    "transform": _transform,
    "encode_query": _model,
    "retrieve": _retrieve,
    "merge_neighbours": _merge_neighbours,
    "drop_seen": _drop_seen,
    "lookup_items": _lookup_items,
    "rank": _model,
    "order": _order,
    "respond": _respond,
}
"""Stage -> function that prepares its library calls for the columns of one user."""
