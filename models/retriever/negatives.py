"""Negatives from beyond the batch (drawn from the catalogue, or remembered from past batches), and their logQ.

In-batch items occur as often as they are positives; drawn items by a power of their popularity. The logQ correction of
an item is the log of its expected number of occurrences among a query's candidates. The sum of exp(score) / expected
over the candidates is then, on average, the sum of exp(score) over the catalogue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._merlin import tf
from ..config import TwoTowerConfig, mined

NO_ITEM = -1
"""Item row that stands for padding."""


class Catalogue:
    """Draws items with replacement, with probabilities proportional to a power of their popularity.

    Args:
        counts: int64 [n_items], positives of each item in the training part; an item without any counts as one.
        power: 0 draws uniformly.
    """

    def __init__(self, counts: NDArray[np.int64], power: float) -> None:
        weights = np.maximum(counts, 1) ** power
        self.chance: NDArray[np.float64] = weights / weights.sum()
        """[n_items]"""
        self._upto = np.cumsum(self.chance)

    def draw(self, rng: np.random.Generator, *shape: int) -> NDArray[np.int32]:
        """Item rows int32 of this shape."""
        found = np.searchsorted(self._upto, rng.random(shape), side="right")
        return np.minimum(found, len(self._upto) - 1).astype(np.int32)


def drawn(config: TwoTowerConfig) -> int:
    """The number of a query's candidates that are drawn from the catalogue."""
    own = config.negatives.per_query - mined(config.negatives)
    return {"in_batch": 0, "mixed": config.negatives.drawn, "hard": own}[config.neg_sampling]


def draw(config: TwoTowerConfig, catalogue: Catalogue, rng: np.random.Generator, size: int) -> dict[str, Any]:
    """The drawn items of a batch of ``size`` queries.

    ``drawn_row`` int32 [M] with mixed sampling; ``own_row`` int32 [B, H - mined] with hard sampling.
    """
    match config.neg_sampling:
        case "mixed":
            return {"drawn_row": catalogue.draw(rng, drawn(config))}
        case "hard":
            return {"own_row": catalogue.draw(rng, size, drawn(config))}
        case _:
            return {}


def log_expected(
    config: TwoTowerConfig, counts: NDArray[np.number[Any]], catalogue: Catalogue, size: int
) -> NDArray[np.float32]:
    """Log of each item's expected occurrences among a query's candidates, mined negatives not counted.

    In the batch and in the memory an item occurs by its share of the positives. Where nothing is drawn, an item that is
    never a positive counts as one positive. The memory counts as full, which it is after its first few batches.

    Args:
        counts: [n_items], positives of each item in an epoch; expected ones with ``two_tower.subsample``.
        size: batch size B.

    Returns:
        float32 [n_items], log(occurrences / B); a softmax does not depend on the common factor.
    """
    others = drawn_with_batch(config)
    in_batch = np.where(counts > 0, counts, 0 if others else 1) / max(counts.sum(), 1)
    expected = in_batch * (1 + config.negatives.memory / size) + catalogue.chance * (others / size)
    return np.asarray(np.log(expected), np.float32)


def drawn_with_batch(config: TwoTowerConfig) -> int:
    """The drawn candidates that share a sum with the batch's; bpr keeps a query's own negatives apart."""
    return 0 if (config.loss, config.neg_sampling) == ("bpr", "hard") else drawn(config)


class Memory(tf.Module):
    """Cross-batch memory: the item vectors of past batches, and their item rows.

    Wang et al., "Cross-batch memory for embedding learning", 2020: vectors change slowly, so older ones are still good
    negatives.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.vectors = tf.Variable(tf.zeros([size, width]), trainable=False)
        self.rows = tf.Variable(tf.fill([size], NO_ITEM), trainable=False)

    def push(self, vectors: Any, rows: Any) -> None:
        """Add vectors float32 [B, D] of item rows int32 [B]; the oldest ones are dropped."""
        size = self.rows.shape[0]
        self.vectors.assign(tf.concat([tf.stop_gradient(vectors), self.vectors], axis=0)[:size])
        self.rows.assign(tf.concat([rows, self.rows], axis=0)[:size])
