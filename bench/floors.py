"""The floor of each stage: the CPU time of the library calls that it cannot do without, one user at a time.

What a served request costs above their sum is ours: Triton's transport, checks, columns between the steps.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..core.signature import Columns
    from ..ensemble.graph.executor import Executor, Node

Call = Callable[[], object]
USERS = 300
"""Requests that each floor is measured on."""
TEMPERATURE = 0.5
"""Of sampling."""


def floors(version: Path, feature_repo: Path, user_ids: NDArray[Any]) -> dict[str, float]:
    """CPU milliseconds of each stage's library calls for one user, on requests of ``user_ids`` drawn at random.

    Empty for a graph with ops of one's own: their floors are not known.

    Args:
        version: the exported fused model's version folder.
        feature_repo: of the online store that it reads, in sqlite or Redis.
        user_ids: [users] raw ids.
    """
    from ..ensemble.graph.executor import Executor
    from ..ensemble.graph.ops.lookup_user import REPO_VARIABLE

    before = os.environ.get(REPO_VARIABLE)
    os.environ[REPO_VARIABLE] = str(feature_repo)
    try:
        executor = Executor.load(version)
    finally:
        os.environ.pop(REPO_VARIABLE) if before is None else os.environ.update({REPO_VARIABLE: before})
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
    """Each node with the columns as they are after it: a later one may put another of the same name in its place."""
    have = executor.intake.accept(request)
    for node in executor.nodes:
        have = {**have, **node.op({name: have[name] for name in node.op.reads})}
        yield node, have


def _cpu_ms(calls: list[Call]) -> float:
    """Mean of one round after another, so that the libraries are warm and the data no more so than it is served."""
    for call in calls:
        call()
    start = time.thread_time()
    for call in calls:
        call()
    return 1000 * (time.thread_time() - start) / len(calls)


def _lookup_user(op: Any, columns: Columns) -> Call:
    """Feast's rows of the user as they lie in the store, each value parsed by Feast's own message."""
    from ..workflows.features.online import entity_key
    from ..workflows.features.values import value_message

    parse = value_message().FromString
    wanted = op.reader.wanted
    key = entity_key(wanted.key, columns["user_id"][0, 0])
    if not hasattr(op.reader, "connection"):
        pool, fields = op.reader.pool, [name for names in wanted.views.values() for name in names]
        from redis import Redis

        client = Redis(connection_pool=pool)
        return lambda: client.hmget(key + wanted.project.encode(), fields)
    queries = [f"SELECT feature_name, value FROM {table} WHERE entity_key = ?" for table in op.reader.tables]
    run = op.reader.connection.execute
    return lambda: [parse(value) for query in queries for _, value in run(query, (key,)).fetchall()]


def _transform(op: Any, columns: Columns) -> Call:
    """A look-up in a dense table for each feature."""
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


def _lookup_items(op: Any, columns: Columns) -> Call:
    rows = np.maximum(columns["candidate_rows"], 0)
    return lambda: [np.take(table, rows, axis=0) for table in op.tables.values()]


def _order(op: Any, columns: Columns) -> Call:
    """MMR by its kernel, and Gumbel top-k by numpy."""
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
    "drop_seen": _drop_seen,
    "lookup_items": _lookup_items,
    "rank": _model,
    "order": _order,
    "respond": _respond,
}
"""Stage -> its library calls on one user's columns."""
