"""How much the item-item weights count beside the vectors, and how they are fitted: chosen on the validation part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from ...workflows.transforms.codes import FIRST_CODE
from ..layers.feature_gather import ITEM_ID
from ..training.rows import Events
from .item_to_item.ease import co_occurrences, ease, strongest
from .linear_part import by_code
from .mixtures import Score, best_mixture, products, spread
from .neighbours import Neighbours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Split, Tensors

Array = NDArray[np.float32]
USER_POWERS = 0.0, 0.25
"""Tried: the first is better where users have few items, the second where some have many, see `co_occurrences`."""
DECAYS = 1.0, 0.8, 0.5
"""Tried for histories with an order, see `Neighbours`."""
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 32.0)
"""Tried: how far their scores spread over the items, as a multiple of the vectors'. With the last they decide alone."""
SET_RATIO = 4.0
"""Where nothing can be chosen. Of a set, item-item weights tell more than vectors do."""
KNOWN: Sequence[Split] = ("train", "valid")
"""What served weights are fitted on."""
SEED = 0


@dataclass(frozen=True)
class ChosenNeighbours:
    """The same weights, fitted on two parts of the data."""

    train: Neighbours
    """Of the training part alone: for what learns from the validation part."""
    served: Neighbours
    """Of everything before the test part."""


def choose(
    queries: Array, vectors: Array, tensors: Tensors, events: Events, seen: csr_matrix, kept: int
) -> tuple[ChosenNeighbours | None, dict[str, Any]]:
    """The weights with the best validation NDCG, if the vectors gain more from them than one standard error.

    Args:
        queries: float32 [n, D], of ``events``.
        vectors: float32 [n_items, D].
        events: n positives of the validation part.
        seen: bool [n_users, n_items], items that are not ranked.
        kept: weights of each item.

    Returns:
        The weights, None if the vectors stay alone, and metrics: how they were fitted, and the NDCG with them.
    """
    history = np.asarray(events.moment[HISTORY])
    fits = {power: fitted(tensors, power, kept, ("train",)) for power in USER_POWERS}
    decays = DECAYS if tensors.schema[HISTORY].ordered else (1.0,)
    tries = [(power, decay) for power in USER_POWERS for decay in decays]

    def score(power: float, decay: float) -> Score:
        own = Neighbours(fits[power], decay)
        return lambda part: own.scores(history[part]).toarray()

    others = [score(*one) for one in tries]
    of = "two_tower with neighbours"
    _, best = best_mixture(products(queries, vectors), others, RATIOS, events, seen, of)
    if best is None:
        return None, {"neighbours": "none"}
    power, decay = tries[best.other]
    facts = {"neighbours": "ease", "neighbours_user_power": power, "neighbours_decay": decay}
    facts |= {"neighbours_ratio": best.ratio, "valid_ndcg_with_neighbours": best.ndcg}
    served = fitted(tensors, power, kept, KNOWN)
    return ChosenNeighbours(*(Neighbours(part * best.weight, decay) for part in (fits[power], served))), facts


def without_validation(
    queries: Array, vectors: Array, tensors: Tensors, events: Events, kept: int
) -> tuple[ChosenNeighbours | None, dict[str, Any]]:
    """The weights where nothing can be chosen: those for few items a user, at `SET_RATIO`; None for sequences.

    Args:
        queries: float32 [n, D], of the training ``events`` on which the spread of both scores is measured.
    """
    if tensors.schema[HISTORY].ordered:
        return None, {"neighbours": "none"}
    weights, history = fitted(tensors, USER_POWERS[0], kept, ("train",)), np.asarray(events.moment[HISTORY])
    own = spread(lambda part: Neighbours(weights).scores(history[part]).toarray(), len(vectors))
    of_vectors = spread(products(queries, vectors), len(vectors))
    chosen = Neighbours((weights * (SET_RATIO * of_vectors / max(own, 1e-12))).astype(np.float32))
    return ChosenNeighbours(chosen, chosen), {"neighbours": "ease", "neighbours_ratio": SET_RATIO}


def fitted(tensors: Tensors, user_power: float, kept: int, parts: Sequence[Split]) -> csr_matrix:
    """Weights float32 [C, n_items] of the positives in ``parts``; items that share a code have the same."""
    weights = ease(co_occurrences(by_code(tensors, parts), user_power, SEED), kept).tocsc()
    codes = np.asarray(tensors.items[ITEM_ID])[:, 0]
    of_items = weights[:, np.where(codes < FIRST_CODE, 0, codes)]  # code 0 has none
    return strongest(of_items.tocsr(), kept)
