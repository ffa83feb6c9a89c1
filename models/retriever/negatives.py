"""Negatives from beyond the batch: items drawn from the catalogue, and those of past batches; and how likely each is.

In-batch items come as often as they are positives, drawn ones by popularity to a power. An item's correction is its
expected number of occurrences among a query's candidates, so that the sum of exp(score) / expected over the candidates
is, on average, the sum of exp(score) over the catalogue.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._merlin import tf
from ..config import TwoTowerConfig, mined

NONE = -1
"""Item row where there is no item."""


class Catalogue:
    """Draws items with replacement, in proportion to their positives to a power; every item can be drawn.

    Args:
        counts: int64 [n_items], how often an item is a positive in the training part.
        power: 0 draws uniformly.
    """

    def __init__(self, counts: NDArray[np.int64], power: float) -> None:
        weights = np.maximum(counts, 1) ** power
        self.chance: NDArray[np.float64] = weights / weights.sum()
        """[n_items]"""
        self._upto = np.cumsum(self.chance)

    def draw(self, rng: np.random.Generator, *shape: int) -> NDArray[np.int32]:
        """Item rows of this shape."""
        found = np.searchsorted(self._upto, rng.random(shape), side="right")
        return np.minimum(found, len(self._upto) - 1).astype(np.int32)


def drawn(config: TwoTowerConfig) -> int:
    """How many candidates of a query are drawn from the catalogue."""
    own = config.negatives.per_query - mined(config.negatives)
    return {"in_batch": 0, "mixed": config.negatives.drawn, "hard": own}[config.neg_sampling]


def draw(config: TwoTowerConfig, catalogue: Catalogue, rng: np.random.Generator, size: int) -> dict[str, Any]:
    """The drawn items of a batch: ``drawn_row`` int32 [M] with mixed sampling, ``own_row`` [B, H - mined] with hard."""
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
    """Log of an item's expected occurrences among the candidates of one sum that are not mined, for each in-batch one.

    In the batch and in the memory an item is found by its share of the positives; where nothing is drawn, one that is
    never a positive counts as if it were once. A memory counts as full, which it is after its first few batches.

    Args:
        counts: [n_items], how often an item is a positive in an epoch; an expectation with ``two_tower.subsample``.
        size: of a batch, B.

    Returns:
        float32 [n_items], log of (occurrences / B): a common factor does not matter to a softmax.
    """
    others = together(config)
    in_batch = np.where(counts > 0, counts, 0 if others else 1) / max(counts.sum(), 1)
    expected = in_batch * (1 + config.negatives.memory / size) + catalogue.chance * (others / size)
    return np.asarray(np.log(expected), np.float32)


def together(config: TwoTowerConfig) -> int:
    """How many drawn candidates are in one sum with those of the batch: bpr keeps a query's own apart."""
    return 0 if (config.loss, config.neg_sampling) == ("bpr", "hard") else drawn(config)


class Memory(tf.Module):
    """The last item vectors and their rows, of batches before.

    Wang et al., "Cross-batch memory for embedding learning", 2020: vectors drift slowly, so old ones still serve.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.vectors = tf.Variable(tf.zeros([size, width]), trainable=False)
        self.rows = tf.Variable(tf.fill([size], NONE), trainable=False)

    def push(self, vectors: Any, rows: Any) -> None:
        """Remember vectors float32 [B, D] of item rows int32 [B]; the oldest are forgotten."""
        size = self.rows.shape[0]
        self.vectors.assign(tf.concat([tf.stop_gradient(vectors), self.vectors], axis=0)[:size])
        self.rows.assign(tf.concat([rows, self.rows], axis=0)[:size])
