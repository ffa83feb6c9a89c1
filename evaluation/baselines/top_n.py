"""Top-N baselines, which rank the catalogue: popularity, iALS and EASE (from RecTools and implicit) and a Markov chain.

All are fitted on the positives before the test part, and the same items are masked as for the cascade.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...core.registry import BUILT_IN
from ..ranking_lists import BATCH, Row, Rows, first_unseen
from ..retrieval import best
from .markov import markov_scores, transitions
from .registered import rank_registered
from .sequences import UserSequences

log = logging.getLogger(__name__)

BASELINES = ("popularity", "ials", "ease", "markov")
EASE_MAX_ITEMS = 15_000
"""EASE inverts a dense [n_items, n_items] matrix, which takes 0.9 GB of float32 and minutes at this size."""
# The values that come closest to published figures on MovieLens 100k and Amazon Beauty with the last item held out.
EASE_REGULARIZATION = 100.0
IALS = {"factors": 128, "regularization": 30.0, "alpha": 10.0, "iterations": 15, "random_state": 42}

UserScores = Callable[[NDArray[np.int64]], NDArray[np.float32]]
"""RecTools' internal user ids [B] -> scores [B, items of the dataset]."""


def rank_baselines(
    positives: csr_matrix,
    sequences: UserSequences,
    users: NDArray[np.int64],
    seen: csr_matrix,
    k: int,
    names: Collection[str],
) -> Mapping[str, Rows | str]:
    """The first ``k`` unseen items of each baseline [U, k], or the reason why it was left out.

    A user without a positive gets popular items from each of them.

    Args:
        positives: [n_users, n_items], before the test part.
        sequences: the same positives in order of time.
        users: [U], rows of the test users, ascending.
        seen: bool [U, n_items], items that must not be recommended.
        names: which of ``BASELINES``, and registered baselines.
    """
    others = [name for name in names if name not in BUILT_IN["baseline"]]
    if not set(names) & {*BASELINES, *others}:
        return {}
    dataset = _dataset(positives)
    popular = _popular(dataset)
    rank: Mapping[str, Callable[[], Rows | str]] = {
        "popularity": lambda: first_unseen(popular, seen, k),
        "ials": lambda: _personal(_ials(dataset), dataset, users, seen, popular, k),
        "ease": lambda: _ranked_ease(dataset, users, seen, popular, k),
        "markov": lambda: _ranked_markov(sequences, users, seen, popular, k),
    }
    own = {name: rank[name]() for name in BASELINES if name in names}
    return own | {name: rank_registered(name, positives, sequences, users, seen, popular, k) for name in others}


def _ranked_ease(dataset: Any, users: NDArray[np.int64], seen: csr_matrix, popular: Row, k: int) -> Rows | str:
    if seen.shape[1] > EASE_MAX_ITEMS:
        why = f"{seen.shape[1]:,} items: EASE is cubic in items and left out above {EASE_MAX_ITEMS:,}"
        log.warning("baseline ease skipped: %s", why)
        return why
    return _personal(_ease(dataset), dataset, users, seen, popular, k)


def _ranked_markov(
    sequences: UserSequences, users: NDArray[np.int64], seen: csr_matrix, popular: Row, k: int
) -> Rows | str:
    if not sequences.ordered:
        why = "needs to know which item followed which, and the interactions have no timestamps"
        log.warning("baseline markov skipped: %s", why)
        return why
    known, chain = np.isin(users, sequences.users), transitions(sequences)
    ranked = np.empty((len(users), k), np.int64)
    ranked[known] = best(lambda batch: markov_scores(sequences, users[known][batch], chain), seen[known], k, BATCH)
    ranked[~known] = first_unseen(popular, seen[~known], k)
    return ranked


def _dataset(positives: csr_matrix) -> Any:
    import pandas as pd
    from rectools.dataset import Dataset

    cells = positives.tocoo()
    table = {"user_id": cells.row, "item_id": cells.col, "weight": 1.0, "datetime": pd.Timestamp(0)}
    return Dataset.construct(pd.DataFrame(table))


def _ials(dataset: Any) -> UserScores:
    """Hu et al., "Collaborative Filtering for Implicit Feedback Datasets", 2008."""
    from implicit.cpu.als import AlternatingLeastSquares
    from rectools.models import ImplicitALSWrapperModel
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # implicit runs its own threads
        model = ImplicitALSWrapperModel(AlternatingLeastSquares(**IALS))
        model.fit(dataset)
    users, items = model.get_vectors()
    return lambda chosen: np.asarray(users[chosen] @ items.T)


def _ease(dataset: Any) -> UserScores:
    """Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019: scores X @ B.

    RecTools fits B but recommends with its transpose, so its ``recommend`` is not used.
    """
    from rectools.models import EASEModel

    model = EASEModel(regularization=EASE_REGULARIZATION)
    model.fit(dataset)
    taken = dataset.get_user_item_matrix()
    return lambda chosen: np.asarray(taken[chosen] @ model.weight)


def _popular(dataset: Any) -> Row:
    """The items [W] with a positive, the most popular first; ties in the order of item rows."""
    from rectools.models import PopularModel

    model = PopularModel()
    model.fit(dataset)
    any_user = dataset.user_id_map.external_ids[:1]
    table = model.recommend(users=any_user, dataset=dataset, k=dataset.item_id_map.size, filter_viewed=False)
    ordered = table.sort_values(["score", "item_id"], ascending=[False, True])["item_id"]
    return np.asarray(ordered, np.int64)


def _personal(
    score: UserScores, dataset: Any, users: NDArray[np.int64], seen: csr_matrix, popular: Row, k: int
) -> Rows:
    """The best items [U, k] by ``score``, or the ``popular`` [U, W] ones for a user that is not in the dataset."""
    known = np.isin(users, dataset.user_id_map.external_ids)
    numbers = dataset.user_id_map.convert_to_internal(users[known])
    items = dataset.item_id_map.external_ids

    def scores(batch: slice) -> NDArray[np.float32]:
        everything = np.full((len(numbers[batch]), seen.shape[1]), -np.inf, np.float32)
        everything[:, items] = score(numbers[batch])
        return everything

    ranked = np.empty((len(users), k), np.int64)
    ranked[known] = best(scores, seen[known], k, BATCH)
    ranked[~known] = first_unseen(popular, seen[~known], k)
    return ranked
