"""What a recommender has to beat: popularity, iALS and EASE, from RecTools and implicit.

All three are fitted on the positives before the test part and have the same items masked as the cascade has.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .ranking_lists import RECALL_AT, Rows, drop, list_metrics, retrieval_metrics

log = logging.getLogger(__name__)

EASE_MAX_ITEMS = 20_000
"""EASE inverts a dense [n_items, n_items] matrix: 1.6 GB of float32 and minutes at this size."""
# What comes closest to the published figures on MovieLens 100k, last item out; good defaults elsewhere as well.
EASE_REGULARIZATION = 200.0
IALS = {"factors": 32, "regularization": 0.1, "alpha": 5.0, "iterations": 15, "random_state": 42}
BATCH = 4096
"""Users ranked at once: bounds the table that RecTools returns."""


def evaluate_baselines(
    positives: csr_matrix, users: NDArray[np.int64], seen: csr_matrix, relevant: csr_matrix
) -> dict[str, dict[str, Any]]:
    """Metrics by baseline; one that is left out says why under ``skipped``.

    Args:
        positives: [n_users, n_items], what happened before the test part.
        users: [U] ascending user rows of the test users.
        seen: [U, n_items], what no method may recommend to them.
        relevant: [U, n_items], what they took in the test part.
    """
    ranked = rank_baselines(positives, users, seen, max(RECALL_AT))
    return {
        name: {"skipped": rows}
        if isinstance(rows, str)
        else retrieval_metrics(rows, relevant) | list_metrics(rows, relevant)
        for name, rows in ranked.items()
    }


def rank_baselines(
    positives: csr_matrix, users: NDArray[np.int64], seen: csr_matrix, k: int
) -> Mapping[str, Rows | str]:
    """The first ``k`` unseen items of each baseline [U, k], or the reason why it was left out.

    A user without a positive gets the popular items from iALS and EASE too, which know nothing about them.
    """
    from rectools.models import EASEModel
    from threadpoolctl import threadpool_limits

    dataset = _dataset(positives)
    popular = _popular(dataset, k + int(np.diff(seen.indptr).max(initial=0)))
    ranked: dict[str, Rows | str] = {"popularity": drop(np.tile(popular, (len(users), 1)), seen, k)}
    with threadpool_limits(1, "blas"):  # implicit has threads of its own
        ranked["ials"] = _personal(_ials(), dataset, users, seen, popular, k)
    if positives.shape[1] > EASE_MAX_ITEMS:
        ranked["ease"] = f"{positives.shape[1]:,} items: EASE is cubic in items and left out above {EASE_MAX_ITEMS:,}"
        log.warning("baseline ease skipped: %s", ranked["ease"])
    else:
        model = EASEModel(regularization=EASE_REGULARIZATION, recommend_use_gpu_ranking=False)
        ranked["ease"] = _personal(model, dataset, users, seen, popular, k)
    return ranked


def _dataset(positives: csr_matrix) -> Any:
    import pandas as pd
    from rectools.dataset import Dataset

    cells = positives.tocoo()
    table = {"user_id": cells.row, "item_id": cells.col, "weight": 1.0, "datetime": pd.Timestamp(0)}
    return Dataset.construct(pd.DataFrame(table))


def _ials() -> Any:
    """Hu et al., "Collaborative Filtering for Implicit Feedback Datasets", 2008."""
    from implicit.cpu.als import AlternatingLeastSquares
    from rectools.models import ImplicitALSWrapperModel

    return ImplicitALSWrapperModel(AlternatingLeastSquares(**IALS), recommend_use_gpu_ranking=False)


def _popular(dataset: Any, width: int) -> Rows:
    """The most popular items [1, <= width], the same for everybody; ties in the order of item rows."""
    from rectools.models import PopularModel

    model = PopularModel()
    model.fit(dataset)
    anybody = dataset.user_id_map.external_ids[:1]
    table = model.recommend(users=anybody, dataset=dataset, k=dataset.item_id_map.size, filter_viewed=False)
    ordered = table.sort_values(["score", "item_id"], ascending=[False, True])["item_id"]
    return np.asarray(ordered, np.int64)[None, :width]


def _personal(model: Any, dataset: Any, users: NDArray[np.int64], seen: csr_matrix, popular: Rows, k: int) -> Rows:
    """Fit ``model`` and rank for every user; one without a positive gets ``popular`` [1, W]."""
    model.fit(dataset)
    known = np.isin(users, dataset.user_id_map.external_ids)
    ranked = np.empty((len(users), k), np.int64)
    ranked[~known] = drop(np.tile(popular, ((~known).sum(), 1)), seen[~known], k)
    chosen = np.flatnonzero(known)
    for start in range(0, len(chosen), BATCH):
        chunk = chosen[start : start + BATCH]
        ranked[chunk] = drop(_recommend(model, dataset, users[chunk], popular.shape[1]), seen[chunk], k)
    return ranked


def _recommend(model: Any, dataset: Any, users: NDArray[np.int64], width: int) -> Rows:
    """RecTools' answer table as [U, width] item rows padded with -1; ``users`` ascending."""
    table = model.recommend(users=users, dataset=dataset, k=width, filter_viewed=False)
    ranked = np.full((len(users), width), -1, np.int64)
    ranked[np.searchsorted(users, table["user_id"]), table["rank"] - 1] = table["item_id"]
    return ranked
