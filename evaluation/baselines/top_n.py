"""Top-N baselines, which rank the catalogue: popularity, matrix factorization, item-item models and a Markov chain.

All are fitted on the positives before the test part, with settings that were chosen on the validation part. The same
items are masked as for the cascade.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ...core.features import HISTORY
from ...core.memory import give_back
from ...core.registry import BUILT_IN
from ..ranking_lists import BATCH, Row, Rows, first_unseen
from ..retrieval import best
from . import ease, ials, item_knn, markov, popularity
from .past import Past
from .registered import UserScores, rank_registered
from .tuning import Choice, Grid, Score, Tuner
from .validation import Validation

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Method:
    """A built-in baseline."""

    default: Any
    """Its setting without tuning."""
    grid: Grid
    scores: Callable[[Past, Any], UserScores]
    """Fits it."""
    trial: Callable[[Past, Any], UserScores] | None = None
    """Fits it well enough to compare settings, if that is faster."""
    personal: bool = True
    """Whether users differ in their scores, so that it is tuned on users with a positive."""
    ordered: bool = False
    """Whether it needs the order of a user's items."""
    dense: bool = False
    """Whether its work grows with the square of the items or more, so that it is tuned on the most popular ones."""


METHODS: Mapping[str, Method] = {
    "popularity": Method(popularity.PopularitySetting(), popularity.GRID, popularity.popularity_scores, personal=False),
    "ials": Method(ials.IalsSetting(), ials.GRID, ials.ials_scores, trial=ials.trial_scores),
    "item_knn": Method(item_knn.ItemKnnSetting(), item_knn.GRID, item_knn.item_knn_scores, dense=True),
    "ease": Method(ease.EaseSetting(), ease.EASE_GRID, ease.ease_scores, dense=True),
    "recency_ease": Method(
        ease.RecencyEaseSetting(), ease.RECENCY_EASE_GRID, ease.recency_ease_scores, ordered=True, dense=True
    ),
    "markov": Method(markov.MarkovSetting(), markov.GRID, markov.markov_scores, ordered=True),
}
BASELINES = tuple(METHODS)
UNORDERED = "needs to know which item followed which, and the interactions have no timestamps"
"""Why a method that needs an order is left out."""


def tune_baselines(
    names: Collection[str], tensors: Tensors, tuner: Tuner, repeats: bool = False
) -> dict[str, Choice[Any]]:
    """The settings of popularity, and of those of ``names`` that are built in and can be fitted.

    Args:
        repeats: whether seen items are ranked as well.
    """
    everybody, ordered = Validation.read(tensors, repeats), tensors.schema[HISTORY].ordered
    known = everybody and everybody.of_known_users()
    always = {"popularity": METHODS["popularity"]}
    wanted = {name: each for name, each in METHODS.items() if name in names and (ordered or not each.ordered)}
    found = {}
    for name, method in (always | wanted).items():
        validation = known if method.personal else everybody if ordered else None
        score = _scorer(method, validation) if validation else None
        found[name] = tuner.choose(name, method.default, method.grid, score, f"{repeats=}")
    return found


def _scorer(method: Method, validation: Validation) -> Score[Any]:
    """NDCG of a setting for each user of the validation part."""
    some = validation.of_popular_items() if method.dense else validation
    return lambda setting: some.ndcg((method.trial or method.scores)(some.past, setting))


def rank_baselines(
    past: Past,
    choices: Mapping[str, Choice[Any]],
    users: NDArray[np.int64],
    seen: csr_matrix,
    k: int,
    names: Collection[str],
) -> Mapping[str, Rows | str]:
    """The first ``k`` unseen items of each baseline [U, k], or the reason why it was left out.

    A user without a positive gets popular items from each of them.

    Args:
        past: the positives before the test part.
        choices: of `tune_baselines`.
        users: [U], rows of the test users, ascending.
        seen: bool [U, n_items], items that must not be recommended.
        names: which of ``BASELINES``, and registered baselines.
    """
    others = [name for name in names if name not in BUILT_IN["baseline"]]
    if not set(names) & {*BASELINES, *others}:
        return {}
    popular = _popular(past, choices["popularity"].setting)
    found: dict[str, Rows | str] = {}
    for name in (name for name in BASELINES if name in names):
        if name in choices:
            start = time.monotonic()
            found[name] = _ranked(METHODS[name].scores(past, choices[name].setting), past, users, seen, popular, k)
            give_back()
            spent = time.monotonic() - start
            log.info("baseline %s: fitted, and ranked for %s users, in %.1f s", name, f"{len(users):,}", spent)
        else:
            log.warning("baseline %s skipped: %s", name, UNORDERED)
            found[name] = UNORDERED
    registered = {name: rank_registered(name, past.matrix, past.sequences, users, seen, popular, k) for name in others}
    return found | registered


def _popular(past: Past, setting: popularity.PopularitySetting) -> Row:
    """The items [W] with a positive, the most popular first; ties in the order of item rows."""
    scores = popularity.popularity(past, setting)
    return np.argsort(-scores, kind="stable")[: (scores > 0).sum()]


def _ranked(score: UserScores, past: Past, users: NDArray[np.int64], seen: csr_matrix, popular: Row, k: int) -> Rows:
    """The best items [U, k] that have a positive, or the ``popular`` [U, W] ones for a user without one."""
    known = np.diff(past.matrix.indptr)[users] > 0
    never = np.flatnonzero(past.counts == 0)

    def scores(batch: slice) -> NDArray[np.float32]:
        found = np.array(score(users[known][batch]), np.float32)
        found[:, never] = -np.inf
        return found

    ranked = np.empty((len(users), k), np.int64)
    ranked[known] = best(scores, seen[known], k, BATCH)
    ranked[~known] = first_unseen(popular, seen[~known], k)
    return ranked
