"""Losses of the retriever, each over the items of the batch: [B] queries against [B] items, the i-th being its own."""

from __future__ import annotations

from typing import Any

from .backend import tf

EXCLUDED = -1e9
"""Logit of what takes no part."""


def in_batch_logits(queries: Any, items: Any, rows: Any, temperature: float, log_q: Any | None = None) -> Any:
    """Logits [B, B] of every query against every item of the batch.

    The same item elsewhere in the batch is no negative of its own query and is excluded. ``log_q`` [B] is the log of
    the chance with which each item is drawn into a batch; taking it off makes the softmax over the batch one over
    the catalogue (Yi et al., "Sampling-bias-corrected neural modeling", 2019).

    Args:
        queries: float32 [B, D].
        items: float32 [B, D].
        rows: int [B], which item it is.
    """
    logits = tf.matmul(queries, items, transpose_b=True) / temperature
    if log_q is not None:
        logits -= log_q[None, :]
    same = rows[:, None] == rows[None, :]
    own = tf.eye(tf.shape(rows)[0], dtype=tf.bool)
    return tf.where(same & ~own, EXCLUDED, logits)


def softmax(logits: Any) -> Any:
    """Mean cross-entropy (nats) of each query's own item: the diagonal of ``logits`` [B, B]."""
    own = tf.range(tf.shape(logits)[0])
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(own, logits))


def bpr(logits: Any) -> Any:
    """Mean of -log sigmoid(own - other) over all others that are not excluded.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", 2009.
    """
    own = tf.linalg.diag_part(logits)[:, None]
    others = tf.cast(logits > EXCLUDED / 2, logits.dtype) - tf.eye(tf.shape(logits)[0], dtype=logits.dtype)
    return tf.reduce_sum(tf.nn.softplus(logits - own) * others) / tf.maximum(tf.reduce_sum(others), 1.0)


LOSSES = {"bpr": bpr, "softmax": softmax, "sampled_softmax": softmax}
CORRECTED = ("sampled_softmax",)
"""Losses whose logits are corrected for the chance of being drawn."""
