"""How item-item weights are fitted, and how much they count beside the vectors: chosen on the validation part."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from ...workflows.transforms.codes import FIRST_CODE
from ..layers.feature_gather import ITEM_ID
from ..training.progress import announce
from ..training.rows import Events
from .item_to_item.ease import co_occurrences, ease, strongest
from .item_to_item.followers import followers
from .item_to_item.neighbour_weights import EVERY
from .item_to_item.popularity import NEWEST, popularity
from .linear_part import KNOWN, by_code
from .mixtures import Requests, Score, best_mixture, ndcg_of_each, products, spread
from .neighbours import Neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Split, Tensors
    from ...workflows.history.history import Histories

log = logging.getLogger(__name__)
Array = NDArray[np.float32]
USER_POWER = 0.25
"""Of the weighted EASE: it is better than the plain one where some users have many items, see `co_occurrences`."""
MORE_FOLLOWERS = 2.0
"""How much more followers count than EASE where both are summed."""
MOST_FOLLOWED = 5_000_000
"""Positives whose followers are counted, of users drawn at random."""
OF_SETS = "ease", "weighted_ease"
OF_SEQUENCES = "ease", "followers", "ease_and_followers"
"""Tried: attributes of `ItemWeights`."""
DECAYS = 0.9, 0.7, 0.5
"""Tried for histories with an order, see `Neighbours`."""
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 32.0)
"""Tried: how far their scores spread over the items, as a multiple of the vectors'. With the last they decide alone."""
POPULARITY_RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Tried: how far popularity spreads over the items, as a multiple of the scores that it is added to."""
HARMLESS = 0.9
"""Popularity that leaves less than this share of the NDCG with pushed histories gets a notice."""
SET_RATIO = 1.0
"""Where nothing can be chosen."""
SEED = 0


@dataclass(frozen=True)
class ChosenNeighbours:
    """The same weights, fitted on two parts of the data."""

    train: Neighbours
    """Of the training part alone: for what learns from the validation part."""
    served: Neighbours
    """Of everything before the test part."""


def choose(
    queries: Array, vectors: Array, tensors: Tensors, requests: Requests, seen: csr_matrix, kept: int
) -> tuple[ChosenNeighbours | None, dict[str, Any]]:
    """The weights with the best validation NDCG, if the vectors gain more from them than one standard error.

    Args:
        queries: float32 [n, D], of ``requests``.
        vectors: float32 [n_items, D].
        requests: n of the validation part.
        seen: bool [n_users, n_items], items that are not ranked.
        kept: weights of each item.

    Returns:
        The weights, None if the vectors stay alone, and metrics: how they were fitted, and the NDCG with them.
    """
    history, ordered = np.asarray(requests.events.moment[HISTORY]), tensors.schema[HISTORY].ordered
    kinds, decays = (OF_SEQUENCES, DECAYS) if ordered else (OF_SETS, (1.0,))
    weights = ItemWeights(tensors, kept, ("train",))
    tries = [(kind, decay) for kind in kinds for decay in decays]

    def score(kind: str, decay: float) -> Score:
        return _score(Neighbours(getattr(weights, kind), decay), history)

    others = [score(*one) for one in tries]
    _, best = best_mixture(products(queries, vectors), others, RATIOS, requests, seen, "two_tower with neighbours")
    if best is None:
        return None, {"neighbours": "none"}
    kind, decay = tries[best.other]
    facts = {"neighbours": kind, "neighbours_decay": decay, "neighbours_ratio": best.ratio}
    facts |= {"valid_ndcg_with_neighbours": best.ndcg}
    announce(
        "two_tower", f"after the epochs: fitting the item-item weights ({kind}) once more, with the validation part"
    )
    both = (getattr(own, kind) for own in (weights, ItemWeights(tensors, kept, KNOWN)))
    return ChosenNeighbours(*(Neighbours(part * np.float32(best.weight), decay) for part in both)), facts


def without_validation(
    queries: Array, vectors: Array, tensors: Tensors, events: Events, kept: int
) -> tuple[ChosenNeighbours | None, dict[str, Any]]:
    """The weights where nothing can be chosen: plain EASE that counts as much as the vectors; None for sequences.

    Args:
        queries: float32 [n, D], of the training ``events`` on which the spread of both scores is measured.
    """
    if tensors.schema[HISTORY].ordered:
        return None, {"neighbours": "none"}
    weights, history = ItemWeights(tensors, kept, ("train",)).ease, np.asarray(events.moment[HISTORY])
    own = spread(_score(Neighbours(weights), history), len(vectors))
    ratio = SET_RATIO * spread(products(queries, vectors), len(vectors)) / max(own, 1e-12)
    chosen = Neighbours(weights * np.float32(ratio))
    return ChosenNeighbours(chosen, chosen), {"neighbours": "ease", "neighbours_ratio": SET_RATIO}


def add_popularity(
    chosen: ChosenNeighbours | None, queries: Array, vectors: Array, tensors: Tensors, requests: Requests,
    seen: csr_matrix, kept: int,
) -> tuple[ChosenNeighbours | None, dict[str, Any]]:  # fmt: skip
    """Weights that count in every request: the popularity with the best validation NDCG beside vectors and ``chosen``.

    Args:
        chosen: item-item weights, if any.
        queries, vectors, requests, seen: as in `choose`.
        kept: items with such a weight.

    Returns:
        The weights with popularity, or ``chosen`` if the gain is not above one standard error; and metrics:
        ``popularity`` is the share of the newest positives that count, 0 if none do.
    """
    shares = NEWEST if tensors.schema[HISTORY].ordered else (1.0,)
    inner, history = products(queries, vectors), np.asarray(requests.events.moment[HISTORY])

    def first(part: slice) -> Array:
        return inner(part) if chosen is None else chosen.train.add(history[part], inner(part))

    def same(scores: Array) -> Score:
        return lambda part: np.tile(scores, (len(history[part]), 1))

    tries = [popularity(tensors, ("train",), newest, kept) for newest in shares]
    _, best = best_mixture(
        first, [same(own) for own in tries], POPULARITY_RATIOS, requests, seen, "two_tower with popularity"
    )
    if best is None:
        return chosen, {"popularity": 0}
    newest, weight = shares[best.other], np.float32(best.weight)
    facts = {"popularity": newest, "popularity_ratio": best.ratio, "valid_ndcg_with_popularity": best.ndcg}
    rows = (weight * own for own in (tries[best.other], popularity(tensors, KNOWN, newest, kept)))
    codes = tensors.schema[HISTORY].cardinality
    parts = (chosen.train, chosen.served) if chosen else 2 * (Neighbours(_no_weights(codes, len(vectors))),)
    return ChosenNeighbours(*(_in_every_request(part, row) for part, row in zip(parts, rows, strict=True))), facts


def with_pushes(
    without: ChosenNeighbours | None, chosen: ChosenNeighbours, queries: Array, vectors: Array, requests: Requests,
    seen: csr_matrix,
) -> dict[str, Any]:  # fmt: skip
    """What popularity does to lists if histories are pushed as events happen: metrics, and a notice if it harms them.

    Args:
        without: what was chosen before popularity.
        requests: n of the validation part, with histories just before the event.
        queries, vectors, seen: as in `choose`.
    """
    inner, history = products(queries, vectors), np.asarray(requests.events.moment[HISTORY])

    def scores(part: slice) -> list[Array]:
        own = inner(part)
        return [own.copy() if without is None else without.train.add(history[part], own.copy()),
                chosen.train.add(history[part], own)]  # fmt: skip

    before, after = ndcg_of_each(scores, requests, seen, "two_tower with pushes").mean(axis=1)
    facts = {"valid_ndcg_pushed_without_popularity": float(before), "valid_ndcg_pushed": float(after)}
    if after >= HARMLESS * before:
        return facts
    notice = (
        "two_tower.popular: how much popularity counts was chosen for a feature store without pushes, in which a "
        "request does not know what the user did since the last run. With pushes, validation lists have an NDCG@20 of "
        f"{after:.4f} with popularity and of {before:.4f} without. If your store receives pushes (cascade features "
        "push), set two_tower.valid_history: at_event, which chooses popularity and item-item weights for them; else "
        "there is nothing to do"
    )
    log.warning(notice)
    return {**facts, "notices": [notice]}


def _no_weights(codes: int, items: int) -> csr_matrix:
    from scipy.sparse import csr_matrix

    return csr_matrix((codes, items), dtype=np.float32)


def _in_every_request(neighbours: Neighbours, scores: Array) -> Neighbours:
    """The same with ``scores`` [n_items] for every request."""
    from scipy.sparse import csr_matrix, vstack

    weights = vstack([csr_matrix(scores), neighbours.weights[EVERY + 1 :]], format="csr", dtype=np.float32)
    return Neighbours(weights, neighbours.decay)


def _score(neighbours: Neighbours, history: NDArray[np.integer[Any]]) -> Score:
    """The scores of all items for histories [n, N]."""
    items = neighbours.weights.shape[1]
    return lambda part: neighbours.add(history[part], np.zeros((len(history[part]), items), np.float32))


@dataclass(frozen=True)
class ItemWeights:
    """Weights float32 [C, n_items] of each kind, fitted on the positives in ``parts`` when they are asked for."""

    tensors: Tensors
    kept: int
    """Weights of each row; items that share a code have the same."""
    parts: Sequence[Split]

    @cached_property
    def ease(self) -> csr_matrix:
        return self._ease(0.0)

    @cached_property
    def weighted_ease(self) -> csr_matrix:
        return self._ease(USER_POWER)

    @cached_property
    def followers(self) -> csr_matrix:
        events = [Events.positives(self.tensors.interactions(part)) for part in self.parts]
        users, rows = (np.concatenate([getattr(part, name) for part in events]) for name in ("user_row", "item_row"))
        histories = [cast("Histories", part.moment[HISTORY]) for part in events]
        order = np.argsort(np.concatenate([past.end for past in histories]))  # their places among all positives
        if len(order) > MOST_FOLLOWED:
            drawn = np.random.default_rng(SEED).random(len(self.tensors.user_ids)) < MOST_FOLLOWED / len(order)
            order = order[drawn[users[order]]]
        codes = self._codes[rows[order]]
        known = codes >= FIRST_CODE
        return self._of_items(followers(users[order][known], codes[known], self.tensors.schema[HISTORY].cardinality))

    @cached_property
    def ease_and_followers(self) -> csr_matrix:
        """The sum of both, each divided by its norm."""
        first, second = (part / max(float(np.linalg.norm(part.data)), 1e-12) for part in (self.ease, self.followers))
        return strongest((first + MORE_FOLLOWERS * second).astype(np.float32).tocsr(), self.kept)

    def _ease(self, user_power: float) -> csr_matrix:
        counts = co_occurrences(by_code(self.tensors, self.parts), user_power, SEED)
        return self._of_items(ease(counts, self.kept))

    @cached_property
    def _codes(self) -> NDArray[np.int32]:
        return np.asarray(self.tensors.items[ITEM_ID])[:, 0]

    def _of_items(self, weights: csr_matrix) -> csr_matrix:
        """Weights of codes [C, C] as those of items, the strongest of each row."""
        columns = weights.tocsc()[:, np.where(self._codes < FIRST_CODE, 0, self._codes)]  # code 0 has none
        return strongest(columns.tocsr(), self.kept)
