"""The retriever's losses over the candidates of each query, and the count of hard negatives.

Shapes: B queries; S candidates shared by all queries, the first B of which are the queries' own positives; H negatives
of a single query. Rows are item rows, -1 where there is no item. With several workers each computes the loss of its own
queries as a part of the whole: the sum over the workers is the loss of all queries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ...core.errors import ConfigError
from ...core.registry import find, naming
from .._merlin import tf
from ..training.worker_group import worker_group

EXCLUDED = -1e9
"""Logit of a candidate that the loss leaves out."""


def shared_logits(scores: Any, rows: Any, log_q: Any | None = None) -> Any:
    """Logits [B, S] of every query against the shared candidates.

    Further occurrences of a query's own item are excluded, because they are no negatives. The logQ correction subtracts
    ``log_q``, the log of a candidate's expected number of draws, so that the softmax over the candidates estimates the
    one over the catalogue (Yi et al., "Sampling-bias-corrected neural modeling", 2019; Yang et al., "Mixed negative
    sampling", 2020).

    Args:
        scores: float32 [B, S], cosines over the temperature.
        rows: int [S].
        log_q: float32 [B, S], or [1, S] where it is the same for every query.
    """
    logits = scores if log_q is None else scores - log_q
    size = tf.shape(scores)[0]
    same = rows[:size, None] == rows[None, :]
    own = tf.eye(size, tf.shape(scores)[1], dtype=tf.bool)
    return tf.where((same & ~own) | (rows < 0), EXCLUDED, logits)


def without_own_window(logits: Any, window: Any) -> Any:
    """Logits [B, S] with the other items of each query's window excluded.

    Those items are positives of the same user. In a batch of few windows they would be negatives far too often.

    Args:
        window: int [W], the windows of the first W candidates; the first B are the queries' own.
    """
    size, others, known = tf.shape(logits)[0], tf.shape(logits)[1], tf.shape(window)[0]
    same = (window[:size, None] == window[None]) & ~tf.eye(size, known, dtype=tf.bool)
    return tf.where(tf.pad(same, [[0, 0], [0, others - known]]), EXCLUDED, logits)


def own_logits(scores: Any, rows: Any, positives: Any, log_q: Any | None = None) -> Any:
    """Logits [B, H] of every query against its own negatives.

    Args:
        scores: float32 [B, H], cosines over the temperature.
        rows: int [B, H].
        positives: int [B], the queries' own items.
        log_q: float32 [B, H].
    """
    logits = scores if log_q is None else scores - log_q
    return tf.where((rows < 0) | (rows == positives[:, None]), EXCLUDED, logits)


def softmax(shared: Any, own: Any | None = None) -> Any:
    """Mean cross-entropy (nats) of each query's positive among its candidates ``shared`` [B, S] and ``own`` [B, H].

    The positives are the diagonal of ``shared``.
    """
    logits = shared if own is None else tf.concat([shared, own], axis=1)
    return worker_group().mean(cross_entropy(logits))


@tf.custom_gradient
def cross_entropy(logits: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Cross-entropy [B] of the diagonal of ``logits`` [B, C].

    It takes half as many passes over the logits as TensorFlow's own, which was a sixth of a training step.
    """
    most = tf.reduce_max(logits, axis=1, keepdims=True)
    odds = tf.exp(logits - most)
    total = tf.matmul(odds, tf.ones([tf.shape(logits)[1], 1]))

    def gradient(upstream: Any) -> Any:
        of_each = odds * (upstream[:, None] / total)
        return tf.linalg.set_diag(of_each, tf.linalg.diag_part(of_each) - upstream)

    return tf.squeeze(most + tf.math.log(total), axis=1) - tf.linalg.diag_part(logits), gradient


def bpr(shared: Any, own: Any | None = None) -> Any:
    """Mean of -log sigmoid(positive - negative) over all negatives that are not excluded.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", 2009. The queries' own negatives ``own``
    [B, H] weigh as much as all the shared ones together: a handful would be lost in a mean over a thousand.

    Of two items i and j that are drawn as negatives with probabilities q, i is the positive with odds
    p(i) q(j) / (p(j) q(i)). With log q subtracted from both logits the scores therefore learn log p(i), as with
    uniformly drawn negatives. Without the correction they would learn log p(i) / q(i), which for in-batch negatives
    holds nothing of an item's popularity.
    """
    positive = tf.linalg.diag_part(shared)[:, None]
    loss = _pairs(shared, positive, negative_mask(shared))
    if own is None:
        return loss
    return (loss + _pairs(own, positive, candidate_mask(own))) / 2


def _pairs(logits: Any, positive: Any, weights: Any) -> Any:
    pairs = worker_group().total(tf.reduce_sum(weights))
    return tf.reduce_sum(tf.nn.softplus(logits - positive) * weights) / tf.maximum(pairs, 1.0)


def candidate_mask(logits: Any) -> Any:
    """1 for candidates that are not excluded, else 0; in the shape of ``logits``."""
    return tf.cast(logits > EXCLUDED / 2, logits.dtype)


def negative_mask(shared: Any) -> Any:
    """1 [B, S] for negatives, 0 for excluded candidates and for the positive."""
    return candidate_mask(shared) - tf.eye(tf.shape(shared)[0], tf.shape(shared)[1], dtype=shared.dtype)


def count_hard(scores: Any, positive: Any, weights: Any, margin: Any) -> Any:
    """float64 [2]: the number of hard negatives, which score above their positive minus ``margin``, and of all.

    Args:
        scores: float32 [B, C], cosines.
        positive: float32 [B, 1].
        weights: float32 [B, C], 1 for a negative.
    """
    hard = tf.cast(scores > positive - margin, weights.dtype) * weights
    by_query = tf.stack([tf.reduce_sum(hard, axis=1), tf.reduce_sum(weights, axis=1)])
    return tf.reduce_sum(tf.cast(by_query, tf.float64), axis=1)


class Loss(Protocol):
    """A registered loss of the retriever: a TensorFlow function that training minimizes."""

    def __call__(self, shared: Any, own: Any | None = None, /) -> Any:
        """The loss of each query.

        Logits are cosines over the temperature, less log q (the logQ correction) unless the loss has an attribute
        ``log_q = False``. Candidates that the loss leaves out, such as padding, have the logit `EXCLUDED`;
        `candidate_mask` and `negative_mask` give the weights that leave them out.

        Args:
            shared: float32 [B, S], logits of the candidates that all queries share, S >= B. The diagonal holds each
                query's positive.
            own: float32 [B, H], logits of the negatives of each single query; None without
                ``two_tower.neg_sampling: hard``.

        Returns:
            float32 [B], finite, with a gradient. The mean over the queries of all workers is taken by the training.
        """
        ...


LOSSES: dict[str, Callable[[Any, Any], Any]] = {"bpr": bpr, "softmax": softmax, "sampled_softmax": softmax}
"""Name -> logits ``shared`` and ``own``, as `Loss` has them, to the mean loss."""
CORRECTED = ("bpr", "sampled_softmax")
"""Losses with the logQ correction."""


def loss_of(name: str) -> tuple[Callable[[Any, Any], Any], bool]:
    """The mean loss that ``two_tower.loss`` names, and whether its logits have the logQ correction.

    Raises:
        ConfigError: there is no loss of that name; when it is called, it raises or does not return a number for each
            query.
    """
    if name in LOSSES:
        return LOSSES[name], name in CORRECTED
    loss: Loss = find("loss", name, LOSSES)
    corrected = bool(getattr(loss, "log_q", True))
    return lambda shared, own: worker_group().mean(_checked(name, loss, shared, own)), corrected


def _checked(name: str, loss: Loss, shared: Any, own: Any | None) -> Any:
    """The registered loss of each query [B]. Training traces this once, so the check costs a step nothing."""
    with naming("loss", name):
        values = loss(shared, own)
    queries = shared.shape[0]  # None if batches differ in size
    if not tf.is_tensor(values) or values.dtype != shared.dtype or not values.shape.is_compatible_with([queries]):
        found = f"{values.dtype.name}{values.shape}" if tf.is_tensor(values) else type(values).__name__
        raise ConfigError(
            f"loss {name!r}: expected a number for each query, {shared.dtype.name}({queries or 'B'},), got {found}"
        )
    return values
