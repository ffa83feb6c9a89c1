"""Losses of the retriever, each over a query's candidates, and how many of them are hard.

Shapes: B queries; S candidates that all of them share, the first B of which are the queries' own positives; H that a
query has for itself. Rows are item rows, -1 where there is no item. Of several workers each has its own queries, and
its part of the loss: their sum is the loss of all queries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ...core.registry import find
from .._merlin import tf
from ..training.worker_group import worker_group

EXCLUDED = -1e9
"""Logit of what takes no part."""


def shared_logits(scores: Any, rows: Any, temperature: Any, log_q: Any | None = None) -> Any:
    """Logits [B, S] of every query against the candidates that all share.

    A query's own item elsewhere among them is no negative and is excluded. ``log_q`` is the log of how often each
    candidate is expected to be drawn; taking it off makes the softmax over candidates one over the catalogue (Yi et
    al., "Sampling-bias-corrected neural modeling", 2019; Yang et al., "Mixed negative sampling", 2020).

    Args:
        scores: float32 [B, S], cosines.
        rows: int [S].
        log_q: float32 [B, S], or [1, S] where it is the same for every query.
    """
    logits = scores / temperature
    if log_q is not None:
        logits -= log_q
    size = tf.shape(scores)[0]
    same = rows[:size, None] == rows[None, :]
    own = tf.eye(size, tf.shape(scores)[1], dtype=tf.bool)
    return tf.where((same & ~own) | (rows < 0), EXCLUDED, logits)


def without_own_window(logits: Any, window: Any) -> Any:
    """Logits [B, S] without those of the other items of each query's window.

    They are positives of the same user: a batch of a few windows would have them as negatives far too often.

    Args:
        window: int [W], of the first W candidates; the first B are those of the queries.
    """
    size, others, known = tf.shape(logits)[0], tf.shape(logits)[1], tf.shape(window)[0]
    same = (window[:size, None] == window[None]) & ~tf.eye(size, known, dtype=tf.bool)
    return tf.where(tf.pad(same, [[0, 0], [0, others - known]]), EXCLUDED, logits)


def own_logits(scores: Any, rows: Any, positives: Any, temperature: Any, log_q: Any | None = None) -> Any:
    """Logits [B, H] of every query against the negatives that it has for itself.

    Args:
        scores: float32 [B, H], cosines.
        rows: int [B, H].
        positives: int [B], the queries' own items.
        log_q: float32 [B, H].
    """
    logits = scores / temperature
    if log_q is not None:
        logits -= log_q
    return tf.where((rows < 0) | (rows == positives[:, None]), EXCLUDED, logits)


def softmax(shared: Any, own: Any | None = None) -> Any:
    """Mean cross-entropy (nats) of each query's positive, the diagonal of ``shared`` [B, S], among all candidates."""
    logits = shared if own is None else tf.concat([shared, own], axis=1)
    positive = tf.range(tf.shape(logits)[0])
    return worker_group().mean(tf.nn.sparse_softmax_cross_entropy_with_logits(positive, logits))


def bpr(shared: Any, own: Any | None = None) -> Any:
    """Mean of -log sigmoid(positive - other) over all others that are not excluded.

    A query's own negatives count as much as all that are shared: a handful would drown in a mean over a thousand.
    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", 2009.

    Of two items i and j, drawn with chance q as negatives, i is the positive with odds p(i) q(j) / (p(j) q(i)). So with
    log q taken off both logits the scores learn log p(i), as with negatives drawn uniformly; without it they learn
    log p(i) / q(i), in which nothing of an in-batch item's popularity is left.
    """
    positive = tf.linalg.diag_part(shared)[:, None]
    loss = _pairs(shared, positive, negatives(shared))
    if own is None:
        return loss
    return (loss + _pairs(own, positive, takes_part(own))) / 2


def _pairs(logits: Any, positive: Any, weights: Any) -> Any:
    pairs = worker_group().total(tf.reduce_sum(weights))
    return tf.reduce_sum(tf.nn.softplus(logits - positive) * weights) / tf.maximum(pairs, 1.0)


def takes_part(logits: Any) -> Any:
    """1 where a candidate is not excluded, else 0."""
    return tf.cast(logits > EXCLUDED / 2, logits.dtype)


def negatives(shared: Any) -> Any:
    """1 [B, S] where a candidate is a negative, 0 where it is excluded or the positive."""
    return takes_part(shared) - tf.eye(tf.shape(shared)[0], tf.shape(shared)[1], dtype=shared.dtype)


def count_hard(scores: Any, positive: Any, weights: Any, margin: float) -> Any:
    """float64 [2]: how many negatives score above their positive less ``margin``, and how many there are.

    Args:
        scores: float32 [B, C], cosines.
        positive: float32 [B, 1].
        weights: float32 [B, C], 1 for a negative.
    """
    hard = tf.cast(scores > positive - margin, weights.dtype) * weights
    by_query = tf.stack([tf.reduce_sum(hard, axis=1), tf.reduce_sum(weights, axis=1)])
    return tf.reduce_sum(tf.cast(by_query, tf.float64), axis=1)


class Loss(Protocol):
    """A registered loss of the retriever: a TensorFlow function, whose value training makes small."""

    def __call__(self, shared: Any, own: Any | None = None, /) -> Any:
        """The loss of each query.

        Logits are cosines over the temperature, less log q (the logQ correction) unless the loss has an attribute
        ``log_q = False``. What takes no part in the loss, such as padding, has a logit of `EXCLUDED`; `takes_part` and
        `negatives` give the weights that leave it out.

        Args:
            shared: float32 [B, S], logits of the candidates that all queries share, S >= B. The diagonal holds each
                query's positive.
            own: float32 [B, H], logits of negatives that each query has for itself; None without
                ``two_tower.neg_sampling: hard``.

        Returns:
            float32 [B], finite, with a gradient. The mean over the queries of all workers is taken by the training.
        """
        ...


LOSSES: dict[str, Callable[[Any, Any], Any]] = {"bpr": bpr, "softmax": softmax, "sampled_softmax": softmax}
"""Name -> logits ``shared`` and ``own``, as `Loss` has them, to the mean loss."""
CORRECTED = ("bpr", "sampled_softmax")
"""Losses whose logits are corrected for the chance of being drawn."""


def loss_of(name: str) -> tuple[Callable[[Any, Any], Any], bool]:
    """The mean loss that ``two_tower.loss`` names, and whether its logits are corrected for the chance of being drawn.

    Raises:
        ConfigError: there is no loss of that name.
    """
    if name in LOSSES:
        return LOSSES[name], name in CORRECTED
    loss: Loss = find("loss", name, LOSSES)
    return lambda shared, own: worker_group().mean(loss(shared, own)), bool(getattr(loss, "log_q", True))
