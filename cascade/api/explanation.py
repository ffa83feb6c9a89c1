"""How an answer came about: the request as the graph saw it, and what became of each item on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.features import HISTORY
from ..ensemble.graph.executor import Executor
from ..ensemble.graph.ops.merge_neighbours import MergeNeighbours
from ..ensemble.graph.ops.order import Order, sigmoid
from ..ensemble.protocol.inputs import MISSING

if TYPE_CHECKING:
    import pandas as pd

FLAGS = ("known_user", "features_stale", "history_ids", "rejected_ids", "history_times")
"""What the user lookup writes beside the user's own columns."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """The answer for one user, taken apart.

    ``items`` has a row for each item that was retrieved or shown, the shown ones first:

    - ``item_id``: raw id;
    - ``outcome``: ``shown``; ``seen`` (in the user's history, rejected or excluded by the request); ``below_min_score``
      (``serving.thresholds.min_score``); ``not_picked`` (others had a higher score, were more diverse, or were drawn);
      ``beyond_topk`` (retrieved, but ``serving.ann.topk`` nearer ones were left);
    - ``rank``: place in the answer, from 1; missing where it is not shown;
    - ``score``: the ranker's probability, 0 .. 1, and ``score_rank``, its place by that among the candidates, from 1;
      missing where the item was no candidate;
    - ``propensity``: probability of the pick; missing where it is not shown;
    - ``retrieval_rank``: place in the retrieval, from 1, by the sum of ``similarity``, the inner product of query and
      item vector, and ``neighbour_score``, what the items of the history and its popularity say for it;
    - ``source``: what retrieved it: ``two_tower``, ``neighbours``, ``popular`` or several; empty for an item that a
      registered op adds.
    """

    user_id: int | str
    reasons: list[str]
    """Why the answer is degraded, as in `Recommendations`."""
    features: dict[str, Any]
    """The user's raw columns from the feature store; None where a value is missing."""
    context: dict[str, Any]
    """The request's context columns; None where a value is missing."""
    history: list[Any]
    """Raw ids of the items in the user's history, most recent first."""
    rejected: list[Any]
    """Raw ids of items that the user has seen and rejected."""
    items: pd.DataFrame


def explain(
    executor: Executor, request: Mapping[str, NDArray[Any]], item_ids: NDArray[Any], vectors: NDArray[Any]
) -> Explanation:
    """Run ``request`` [1, ...] step by step, and keep what is known of the user and of each item.

    Args:
        item_ids: raw ids [n_items] in row order.
        vectors: item vectors float32 [n_items, D].
    """
    have = executor.batcher.accept(request)
    given, user = dict(have), {}
    for node in executor.nodes:
        written = node.op({name: have[name] for name in node.reads})
        if "known_user" in written:
            user = dict(written)
        have.update(written)
    contexts = [spec.name for spec in executor.inputs if spec.missing and spec.name != "exclude_items"]
    return Explanation(
        user_id=given["user_id"].tolist()[0][0],
        reasons=[name for name in have["reasons"][0, 0].split(",") if name],
        features={name: _value(column) for name, column in user.items() if name not in FLAGS},
        context={name: _value(given[name]) for name in contexts},
        history=_list(user["history_ids"][0]),
        rejected=_list(user["rejected_ids"][0]),
        items=_items(have, item_ids, vectors, executor),
    )


def _items(
    have: Mapping[str, NDArray[Any]], item_ids: NDArray[Any], vectors: NDArray[Any], executor: Executor
) -> pd.DataFrame:
    import pandas as pd

    from ..evaluation.funnel import SOURCES

    retrieved, candidates, ranked = (have[f"{name}_rows"][0] for name in ("retrieved", "candidate", "ranked"))
    score = sigmoid(have["logits"][0].astype(np.float64))
    by_score = np.argsort(np.argsort(-np.where(candidates >= 0, score, -1), kind="stable"), kind="stable")
    rows = np.array([*dict.fromkeys(row for of in (ranked, candidates, retrieved) for row in of.tolist() if row >= 0)])
    table = pd.DataFrame({"item_id": item_ids[rows]}, index=rows)
    table["rank"] = _column(ranked, np.arange(len(ranked)) + 1, "Int64")
    table["score"] = _column(candidates, score)
    table["score_rank"] = _column(candidates, by_score + 1, "Int64")
    table["propensity"] = _column(ranked, have["propensities"][0])
    table["retrieval_rank"] = _column(retrieved, np.arange(len(retrieved)) + 1, "Int64")
    table["similarity"] = vectors[rows] @ have["query"][0]
    table["neighbour_score"] = _neighbour_scores(have, rows, executor)
    found = retrieved, np.ones_like(retrieved)
    if "source_rows" in have:
        found = have["source_rows"][0], have["retrieved_sources"][0]
    every = range(1 + sum(SOURCES.values()))
    names = np.array([", ".join(name for name, bit in SOURCES.items() if own & bit) for own in every], object)
    table["source"] = names[_column(*found, "int64").reindex(rows, fill_value=0)]
    seen = table.index.isin(have["seen_rows"][0])
    conditions = [table["rank"].notna(), seen, table["score"].isna(), table["score"] < _least_score(executor)]
    table.insert(1, "outcome", np.select(conditions, ["shown", "seen", "beyond_topk", "below_min_score"], "not_picked"))
    return table.sort_values(["rank", "score_rank", "retrieval_rank"]).reset_index(drop=True)


def _column(rows: NDArray[np.int64], values: NDArray[Any], dtype: str = "float64") -> pd.Series:
    """``values`` [n] by item row, where there is one."""
    import pandas as pd

    return pd.Series(values[rows >= 0], index=rows[rows >= 0], dtype=dtype)


def _value(column: NDArray[Any]) -> Any:
    """The one user's value, or list of values; None where it is missing."""
    values = [None if value == MISSING[column.dtype.name] or value != value else value for value in column[0].tolist()]
    return values[0] if len(values) == 1 else [value for value in values if value is not None]


def _list(ids: NDArray[Any]) -> list[Any]:
    return [value for value in ids.tolist() if value != MISSING[ids.dtype.name]]


def _neighbour_scores(have: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], executor: Executor) -> NDArray[Any]:
    """What the user's history says for the items in ``rows`` [n]."""
    op = next((node.op for node in executor.nodes if isinstance(node.op, MergeNeighbours)), None)
    return np.zeros(len(rows)) if op is None else op.weights.scores(have[HISTORY], rows[None], op.decay)[0]


def _least_score(executor: Executor) -> float:
    """``serving.thresholds.min_score`` of the release."""
    return next((node.op.min_score for node in executor.nodes if isinstance(node.op, Order)), 0.0)
