"""Metrics of new items, those without a positive in the training part: can they be found by their content features?

They are measured in the ranking of the whole catalogue, where they compete with items whose id embeddings are trained,
and in a ranking of the new items only, where content alone decides. The latter is compared with a random order, which
is what id embeddings without content would give.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from ..models import metrics
from .bootstrap import Bootstrap
from .intervals import UserValues, list_intervals
from .ranking_lists import LIST, Rows, means
from .retrieval import HistoryScores, exact_top

AT = (10, 100)
WAYS = {
    "whole_catalogue": "retriever, whole catalogue",
    "cascade": "cascade",
    "among_new": "retriever, new items only",
    "chance": "random order of the new items",
}
"""Key of each ranking -> its title in tables."""


@dataclass(frozen=True)
class Retrieval:
    """The retriever's output for U requests.

    ``queries``: float32 [U, D]. ``vectors``: float32 [n_items, D]. ``seen``: bool [U, n_items], items that must not be
    shown. ``ranked``: the best of all items, [U, R]. ``of_history``: what the item-item weights add, if there are any.
    """

    queries: NDArray[np.float32]
    vectors: NDArray[np.float32]
    seen: csr_matrix
    ranked: Rows
    of_history: HistoryScores | None = None


def measure_new_items(
    counts: NDArray[np.int64],
    relevant: csr_matrix,
    retrieval: Retrieval,
    answers: Rows | None,
    bootstrap: Bootstrap,
    batch_size: int,
) -> dict[str, Any]:
    """The section ``new_items`` of metrics.json.

    It holds the numbers of new items, of users with a positive among them, and of these positives; then recall and NDCG
    at 10 and 100 of each ranking, over these users and with only their new items as relevant.

    Args:
        counts: int64 [n_items], positives of each item in the training part.
        relevant: bool [U, n_items].
        answers: the recommendations of the cascade, [U, LIST]; None if there is only a retriever.
    """
    wanted = csr_matrix(relevant.astype(np.float32) @ diags((counts == 0).astype(np.float32)))
    wanted.eliminate_zeros()
    rows = np.flatnonzero(counts == 0)
    counted = np.diff(wanted.indptr) > 0
    found: dict[str, Any] = {"items": len(rows), "users": int(counted.sum()), "positives": int(wanted.nnz)}
    if not counted.any():
        return found
    wanted, seen = wanted[counted], retrieval.seen[counted][:, rows]
    queries, vectors = retrieval.queries[counted], np.asarray(retrieval.vectors[rows])
    of_history = retrieval.of_history and retrieval.of_history.take(counted, rows)
    among = exact_top(queries, vectors, seen, max(AT), batch_size, of_history)
    own = wanted[:, rows]
    values: dict[str, UserValues] = {
        "whole_catalogue": figures(retrieval.ranked[counted], wanted, AT),
        **({} if answers is None else {"cascade": figures(answers[counted], wanted, (LIST,))}),
        "among_new": figures(among, own, AT),
        "chance": chance(len(rows) - np.diff(seen.indptr), np.diff(own.indptr), AT),
    }
    intervals = {name: list_intervals(each, bootstrap) for name, each in values.items() if name != "chance"}
    return found | {name: means(each) for name, each in values.items()} | {"intervals": intervals}


def figures(ranked: Rows, relevant: csr_matrix, at: tuple[int, ...]) -> dict[str, metrics.Values]:
    """recall@k and ndcg@k of each user [U], for each k in ``at``."""
    hits, counts = metrics.find_hits(ranked, relevant)
    recall = {f"recall@{k}": metrics.recall(hits, counts, k) for k in at}
    return recall | {f"ndcg@{k}": metrics.ndcg(hits, counts, k) for k in at}


def chance(choice: NDArray[Any], relevant: NDArray[Any], at: tuple[int, ...]) -> dict[str, metrics.Values]:
    """The expected metrics of a random order of ``choice`` [U] items, of which ``relevant`` [U] are relevant.

    Each position holds a relevant item with probability relevant / choice.
    """
    share = relevant / choice
    recall = {f"recall@{k}": np.minimum(k / choice, 1.0) for k in at}
    gains = {k: np.cumsum(metrics.discounts(k)) for k in at}
    ndcg = {
        f"ndcg@{k}": share * gain[np.minimum(choice, k) - 1] / gain[np.minimum(relevant, k) - 1]
        for k, gain in gains.items()
    }
    return recall | ndcg


def new_item_rows(found: Mapping[str, Any]) -> list[list[Any]]:
    """A table row for each ranking: its title, then recall and NDCG; None for metrics that it does not have."""
    names = [*(f"recall@{k}" for k in AT), *(f"ndcg@{k}" for k in AT)]
    return [[title, *map(found[way].get, names)] for way, title in WAYS.items() if way in found]


def new_item_hint(found: Mapping[str, Any]) -> list[str]:
    """What to do if the retriever finds no new item among all items: a line, or none."""
    if f"{found.get('whole_catalogue', {}).get('recall@10', 1):.4f}" != "0.0000":
        return []
    return [
        "The retriever finds no new item in the whole catalogue. With two_tower.item_id_dropout (0.1, for example) it "
        "learns to place items by their features, such as categories or texts."
    ]


HEAD = ["", *(f"recall@{k}" for k in AT), *(f"ndcg@{k}" for k in AT)]
"""Column titles of `new_item_rows`."""


def new_item_line(found: Mapping[str, Any]) -> str:
    """``new items (no positive in training): 370; 5,120 users have 31,004 positives with them in the test part``."""
    return (
        f"new items (no positive in training): {found['items']:,}; {found['users']:,} users have "
        f"{found['positives']:,} positives with them in the test part"
    )
