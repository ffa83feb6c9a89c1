"""The retriever's loss on a batch: it collects the candidates of each query, and counts the hard negatives.

Columns of a batch:

- ``item_row`` [B], the positives;
- ``WINDOW`` [B] where several queries share a history, see ``windows``;
- with mixed sampling ``drawn_row`` [M], negatives shared by all queries;
- with hard sampling ``own_row`` [B, H], the negatives of each query, mined ones first; ``distinct_row`` [E] are their
  distinct items and ``distinct_at`` [B, H] the position of each in there;
- with several workers, each of which has the columns of its own queries, ``batch_row``, the positives of the whole
  batch, which are candidates of all queries, and ``batch_window``, their windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._merlin import tf
from ..config import TwoTowerConfig, mined
from ..training.rows import WINDOW
from ..training.worker_group import worker_group
from .losses import (
    candidate_mask,
    count_hard,
    loss_of,
    negative_mask,
    own_logits,
    shared_logits,
    without_own_window,
)
from .negatives import Catalogue, Memory, log_expected

ITEM_COLUMNS = ("item_row", "batch_row", "batch_window", "drawn_row", "own_row", "distinct_row", "distinct_at")
"""Columns of a batch that are no features of the queries."""


COUNTED = 128
"""Queries of a batch whose negatives are counted: enough for a share, and counting all took a quarter of a step."""


def batch_rows(batch: Mapping[str, Any]) -> Any:
    """The positives of the whole batch, those of other workers included: int [B]."""
    return batch.get("batch_row", batch["item_row"])


class Objective(tf.Module):
    """The loss of a batch from its query and item vectors.

    Args:
        counts: [n_items], positives of each item in an epoch.
        size: batch size.
        steps: steps per epoch.
    """

    def __init__(
        self, config: TwoTowerConfig, counts: NDArray[np.number[Any]], catalogue: Catalogue, size: int, steps: int
    ) -> None:
        super().__init__()
        self.config = config
        self._loss, corrected = loss_of(config.loss)
        self._steps = steps
        self._apart = config.loss == "bpr"
        self._mined = mined(config.negatives) if config.neg_sampling == "hard" and not self._apart else 0
        self._log_q = tf.constant(log_expected(config, counts, catalogue, size)) if corrected else None
        width = config.item_tower.mlp[-1]
        self.memory = Memory(config.negatives.memory, width) if config.negatives.memory else None
        self.hard = tf.Variable(tf.zeros([2], tf.float64), trainable=False)
        """Hard negatives and all negatives since the start of the epoch."""
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)

    @classmethod
    def rows(cls, batch: Mapping[str, Any]) -> Any:
        """The items whose vectors a batch needs, the positives first: int [B + M] or [B + E].

        With several workers each computes its part of the shared candidates, and all negatives of its own queries.
        """
        shared = worker_group().part(cls.shared_rows(batch))
        return tf.concat([shared, batch["distinct_row"]], axis=0) if "distinct_row" in batch else shared

    @staticmethod
    def shared_rows(batch: Mapping[str, Any]) -> Any:
        """The candidates of a batch that all queries share: int [B] or [B + M]."""
        rows = batch_rows(batch)
        return tf.concat([rows, batch["drawn_row"]], axis=0) if "drawn_row" in batch else rows

    def __call__(self, queries: Any, vectors: Any, batch: Mapping[str, Any], temperature: Any) -> Any:
        """The mean loss. It also counts the hard negatives, and adds the batch to the memory if there is one.

        Args:
            queries: float32 [B, D].
            vectors: float32 [n, D] of the items in ``rows(batch)``.
            temperature: a number or a scalar.
        """
        size, of_batch = tf.shape(queries)[0], batch_rows(batch)
        whole = tf.shape(of_batch)[0]
        found = worker_group().gather(vectors[:size] if "own_row" in batch else vectors)
        shared, rows = self._shared(found, batch, whole)
        scaled, margin = queries / temperature, self.config.negatives.margin / temperature
        scores = self._scores(scaled, shared, whole)
        logits = shared_logits(scores, rows, self.correction(rows[None], batch, whole))
        if WINDOW in batch:
            logits = without_own_window(
                logits, worker_group().own_first(batch.get("batch_window", batch[WINDOW]), whole)
            )
        positive = tf.linalg.diag_part(scores)[:COUNTED, None]
        counts = [count_hard(scores[:COUNTED], positive, negative_mask(logits[:COUNTED]), margin)]
        own = None
        if "own_row" in batch:
            own_scores, own = self._own(scaled, vectors[size:], batch, whole)
            counts.append(count_hard(own_scores[:COUNTED], positive, candidate_mask(own[:COUNTED]), margin))
        self._count(tf.add_n(counts))
        if self.memory is not None:
            self.memory.push(found[:whole], of_batch)
        return self._loss(logits, own)

    def _own(self, queries: Any, vectors: Any, batch: Mapping[str, Any], whole: Any) -> tuple[Any, Any]:
        """Scores and logits [B, H] of every query's own negatives, whose distinct vectors are [E, D]."""
        scores = tf.einsum("bd,bhd->bh", queries, tf.gather(vectors, batch["distinct_at"]))
        # In bpr own negatives get the positive's correction, which cancels: they are compared without any.
        log_q = self.correction(batch["item_row"][:, None] if self._apart else batch["own_row"], batch, whole)
        return scores, own_logits(scores, batch["own_row"], batch["item_row"], log_q)

    def hard_share(self) -> float:
        """Share of hard negatives among all negatives of the epoch."""
        hard, every = self.hard.numpy()
        return float(hard / max(every, 1))

    def _shared(self, vectors: Any, batch: Mapping[str, Any], whole: Any) -> tuple[Any, Any]:
        """Vectors [S, D] and rows [S] of the shared candidates; the positives of this worker's queries come first."""
        shared, rows = (worker_group().own_first(one, whole) for one in (vectors, self.shared_rows(batch)))
        if self.memory is None:
            return shared, rows
        return tf.concat([shared, self.memory.vectors], axis=0), tf.concat([rows, self.memory.rows], axis=0)

    def _scores(self, queries: Any, shared: Any, whole: Any) -> Any:
        """Inner products [B, S].

        No gradient reaches the items in the memory. The batch's items stand in for them: the gradient of each as a
        negative is multiplied to cover its share of the memory. Otherwise items would be pulled to their own queries
        and hardly be pushed away from others.
        """
        if self.memory is None:
            return tf.matmul(queries, shared, transpose_b=True)
        for_each = tf.cast(tf.math.count_nonzero(self.memory.rows >= 0), tf.float32) / tf.cast(whole, tf.float32)
        others = (1 - tf.eye(tf.shape(queries)[0], whole)) * for_each
        times = 1 + tf.pad(others, [[0, 0], [0, tf.shape(shared)[0] - whole]])
        of_items = tf.matmul(tf.stop_gradient(queries), shared, transpose_b=True)
        of_queries = tf.matmul(queries, tf.stop_gradient(shared), transpose_b=True)
        return of_queries + times * (of_items - tf.stop_gradient(of_items))

    def correction(self, rows: Any, batch: Mapping[str, Any], size: Any) -> Any:
        """logQ of item rows [B or 1, n]: log of the expected occurrences among a query's candidates over ``size``.

        None for a loss without logQ correction. A mined item occurs once for certain, in addition to its expected
        draws; not so in bpr, which keeps a query's own negatives apart.

        Args:
            size: size of the whole batch, that of other workers included.
        """
        if self._log_q is None:
            return None
        log_q = tf.gather(self._log_q, tf.maximum(rows, 0))
        if not self._mined:
            return log_q
        mined_rows = batch["own_row"][:, : self._mined]
        # One mined item at a time: all at once would take a tensor [B, n, mined].
        same = [rows == mined_rows[:, at : at + 1] for at in range(self._mined)]
        once = tf.cast(reduce(tf.logical_or, same), tf.float32) / tf.cast(size, tf.float32)
        return tf.math.log(tf.exp(log_q) + once)

    def _count(self, now: Any) -> None:
        """Add ``now``, hard negatives and all negatives, to the epoch's; its first step starts from 0."""
        now = worker_group().total(now)
        go_on = tf.cast(self.step % self._steps != 0, tf.float64)
        self.hard.assign(self.hard * go_on + now)
        self.step.assign_add(1)
