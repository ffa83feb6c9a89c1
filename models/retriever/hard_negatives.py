"""Hard negative mining: for each query, the highest-scored negatives of the whole catalogue.

The search is exact: a masked product of query and item vectors, one block of queries at a time. An approximate index
cannot leave out the items above a different limit for each query, and a flat index would compute the same product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from .._merlin import compiled, tf
from ..config import NegativesConfig, TwoTowerConfig, mined
from ..layers.feature_gather import Lookup
from ..training.step import TrainStep
from .encode import encode_items
from .negatives import NO_ITEM
from .objective import ITEM_COLUMNS
from .two_tower import TwoTower
from .user_items import UserItems

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BLOCK = 1 << 24
"""Scores computed at once; as float32 they take 64 MB."""


class Miner(tf.Module):
    """Mines with the current query tower and item vectors that are at most ``refresh_steps`` steps old.

    Args:
        queries: gives the query vectors float32 [B, D] of a batch.
        items: gives the vectors float32 [n_items, D] of all items.
        positives: bool [n_users, n_items]; the positives of a query's user are never mined.
        width: D.

    Raises:
        ConfigError: if ``skip`` leaves no item.
    """

    def __init__(
        self,
        config: NegativesConfig,
        queries: Callable[[Mapping[str, Any]], Any],
        items: Callable[[], NDArray[np.float32]],
        positives: csr_matrix,
        width: int,
    ) -> None:
        super().__init__()
        count = positives.shape[1]
        if config.skip >= count:
            left = f"is {config.skip}, but there are only {count} items, so nothing is left"
            raise ConfigError(f"two_tower.negatives.skip: {left}")
        self.config, self.positives = config, positives
        self._queries, self._items = queries, items
        self.vectors = tf.Variable(tf.zeros([count, width]), trainable=False)
        self.steps = tf.Variable(0, dtype=tf.int64, trainable=False)

    def __call__(self, batch: Mapping[str, Any]) -> NDArray[np.int32]:
        """Mined item rows int32 [B, mined] of a batch, best first, padded with -1.

        Args:
            batch: columns of the query features, ``user_row`` and ``item_row``.
        """
        if int(self.steps) % self.config.refresh_steps == 0:
            self.vectors.assign(self._items())
        self.steps.assign_add(1)
        return self.search(self._queries(batch), batch["user_row"], batch["item_row"])

    def search(self, queries: Any, users: NDArray[np.int32], own: NDArray[np.int32]) -> NDArray[np.int32]:
        """Rows int32 [B, mined] of the highest-scored items below each query's limit, without its user's positives.

        Args:
            queries: float32 [B, D].
            users: user rows [B].
            own: item rows [B] of the positives; the limit is their score minus the margin.
        """
        count, wanted = self.positives.shape[1], mined(self.config)
        best = min(self.config.skip + wanted, count)
        size = max(1, BLOCK // count)
        found = np.full((len(users), wanted), NO_ITEM, np.int32)
        for at in range(0, len(users), size):
            part = slice(at, at + size)
            known = self.positives[users[part]].tocoo()
            hidden = np.stack([known.row, known.col], axis=1)
            rows = _highest(queries[part], self.vectors.value(), own[part], hidden, self.config.margin, best)
            rows = rows.numpy()[:, self.config.skip :]
            found[part, : rows.shape[1]] = rows
        return found


@compiled(reduce_retracing=True)
def _highest(queries: Any, vectors: Any, own: Any, hidden: Any, margin: float, count: int) -> Any:
    """The best rows int32 [B, count] below the limit, without the pairs (query, item) in ``hidden`` [n, 2]; else -1."""
    scores = tf.matmul(queries, vectors, transpose_b=True)
    limit = tf.gather(scores, own, axis=1, batch_dims=1)[:, None] - margin
    lowest = scores.dtype.min
    scores = tf.where(scores < limit, scores, lowest)
    scores = tf.tensor_scatter_nd_update(scores, hidden, tf.fill([tf.shape(hidden)[0]], lowest))
    values, rows = tf.math.top_k(scores, count)
    return tf.where(values > lowest, rows, NO_ITEM)


def with_mining(
    step: TrainStep, model: TwoTower, lookup: Lookup, config: TwoTowerConfig, positives: csr_matrix
) -> TrainStep:
    """``step`` with mining: it puts the mined items before the drawn ones in a batch's ``own_row``."""

    @compiled(reduce_retracing=True)
    def queries(moment: Mapping[str, Any]) -> Any:
        return model.query(lookup.users(moment))

    def items() -> NDArray[np.float32]:
        return encode_items(model, lookup, positives.shape[1])

    def of_query(batch: Mapping[str, Any]) -> Any:
        return queries({name: values for name, values in batch.items() if name not in ITEM_COLUMNS})

    miner = Miner(config.negatives, of_query, items, positives, config.item_tower.mlp[-1])

    def mined_step(batch: Mapping[str, Any]) -> Any:
        known = UserItems(positives, batch["user_row"])
        return step({**batch, **own_negatives(miner(batch), batch["own_row"], known)})

    return TrainStep(mined_step, step.optimizer, [*step.state, *miner.variables])


def own_negatives(mined: NDArray[np.int32], drawn: NDArray[np.int32], known: UserItems) -> dict[str, Any]:
    """A batch's ``own_row``: the mined items of each query, then the drawn ones that are no positives of its user.

    Args:
        mined: [B, h], padded with -1.
        drawn: [B, u].
        known: the positives of each query's user.

    Returns:
        own_row [B, h + u], distinct_row [E] and distinct_at [B, h + u], see `Objective`.
    """
    rows = np.concatenate([mined, np.where(known.contains(drawn), NO_ITEM, drawn)], axis=1)
    distinct, at = np.unique(rows, return_inverse=True)
    places = at.reshape(rows.shape).astype(np.int32)
    return {"own_row": rows, "distinct_row": np.maximum(distinct, 0), "distinct_at": places}
