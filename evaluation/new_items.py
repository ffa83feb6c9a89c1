"""New items, those without a positive in the training part: are they found by what is known of them beside their id?

Measured twice: in the ranking of the whole catalogue, where they compete with items whose ids have learned; and in a
ranking of the new items alone, where content is all that orders them. Beside the latter stands what a random order
comes to, which is what ids without content would.
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
from .retrieval import exact_top

AT = (10, 100)
WAYS = {
    "whole_catalogue": "retriever, whole catalogue",
    "cascade": "cascade",
    "among_new": "retriever, new items alone",
    "chance": "random order of the new items",
}
"""What of the figures is a ranking -> its title."""


@dataclass(frozen=True)
class Retrieval:
    """What the retriever makes of U requests.

    ``queries``: float32 [U, D]. ``vectors``: float32 [n_items, D]. ``seen``: bool [U, n_items], what it may not show.
    ``ranked``: its best of all items, [U, R].
    """

    queries: NDArray[np.float32]
    vectors: NDArray[np.float32]
    seen: csr_matrix
    ranked: Rows


def measure_new_items(
    counts: NDArray[np.int64],
    relevant: csr_matrix,
    retrieval: Retrieval,
    answers: Rows | None,
    bootstrap: Bootstrap,
    batch_size: int,
) -> dict[str, Any]:
    """How many new items, users who took one and such positives there are; and, if any, recall and NDCG at 10 and 100.

    Only what users took of the new items is relevant; a user who took none does not count.

    Args:
        counts: int64 [n_items], positives of the training part.
        relevant: bool [U, n_items].
        answers: what the cascade shows, [U, LIST]; None where there is only a retriever.
    """
    wanted = csr_matrix(relevant.astype(np.float32) @ diags((counts == 0).astype(np.float32)))
    wanted.eliminate_zeros()
    rows = np.flatnonzero(counts == 0)
    asked = np.diff(wanted.indptr) > 0
    found: dict[str, Any] = {"items": len(rows), "users": int(asked.sum()), "positives": int(wanted.nnz)}
    if not asked.any():
        return found
    wanted, seen = wanted[asked], retrieval.seen[asked][:, rows]
    queries, vectors = retrieval.queries[asked], np.asarray(retrieval.vectors[rows])
    among = exact_top(queries, vectors, seen, max(AT), batch_size)
    own = wanted[:, rows]
    values: dict[str, UserValues] = {
        "whole_catalogue": figures(retrieval.ranked[asked], wanted, AT),
        **({} if answers is None else {"cascade": figures(answers[asked], wanted, (LIST,))}),
        "among_new": figures(among, own, AT),
        "chance": chance(len(rows) - np.diff(seen.indptr), np.diff(own.indptr), AT),
    }
    intervals = {name: list_intervals(each, bootstrap) for name, each in values.items() if name != "chance"}
    return found | {name: means(each) for name, each in values.items()} | {"intervals": intervals}


def figures(ranked: Rows, relevant: csr_matrix, at: tuple[int, ...]) -> dict[str, metrics.Values]:
    """recall@k, then ndcg@k of each user [U]."""
    hits, counts = metrics.find_hits(ranked, relevant)
    recall = {f"recall@{k}": metrics.recall(hits, counts, k) for k in at}
    return recall | {f"ndcg@{k}": metrics.ndcg(hits, counts, k) for k in at}


def chance(choice: NDArray[Any], relevant: NDArray[Any], at: tuple[int, ...]) -> dict[str, metrics.Values]:
    """What a random order of ``choice`` [U] items, ``relevant`` [U] of them relevant, is expected to come to.

    Every place holds a relevant item with probability relevant / choice.
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
    """A row for each ranking: its title, then recall and NDCG; None where there is none."""
    names = [*(f"recall@{k}" for k in AT), *(f"ndcg@{k}" for k in AT)]
    return [[title, *map(found[way].get, names)] for way, title in WAYS.items() if way in found]


HEAD = ["", *(f"recall@{k}" for k in AT), *(f"ndcg@{k}" for k in AT)]
"""Titles of the columns of `new_item_rows`."""


def new_item_line(found: Mapping[str, Any]) -> str:
    """``new items (no positive in training): 370; 5,120 users took 31,004 of them in the test part``."""
    return (
        f"new items (no positive in training): {found['items']:,}; {found['users']:,} users took "
        f"{found['positives']:,} of them in the test part"
    )
