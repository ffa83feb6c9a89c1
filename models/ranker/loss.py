"""The ranker's loss on sampled and weighted rows, corrected so that neither changes the predicted probability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._merlin import tf
from ..config import DlrmConfig
from ..training.worker_group import worker_group


def loss(logits: Any, batch: Mapping[str, Any], config: DlrmConfig) -> Any:
    """The loss of labelled rows, in nats per row; with several labels it is the weighted mean of their losses.

    Args:
        logits: float32 [B, M, T].
        batch: see `cross_entropy`; with several labels, ``label`` is [B, M, T].
    """
    if not config.labels:
        return cross_entropy(logits[:, :, 0], batch, config.positive_weight)
    labels, happened = config.labels.values(), tf.unstack(batch["label"], axis=-1)
    own = [
        label.weight * cross_entropy(logits[:, :, at], {**batch, "label": happened[at]}, label.positive_weight)
        for at, label in enumerate(labels)
    ]
    return tf.add_n(own) / sum(label.weight for label in labels)


def cross_entropy(logits: Any, batch: Mapping[str, Any], positive_weight: float = 1.0) -> Any:
    """Weighted mean of the rows' cross-entropy, in nats; with several workers, this worker's part of the mean.

    If negatives are drawn ``rate`` times on average and positives count ``positive_weight`` times, the odds in the
    sample are positive_weight / rate times those in the population. The log of that factor is added to the logit in
    training, so that sigmoid(logit) is the probability in the population (King and Zeng, "Logistic regression in rare
    events data", 2001; Elkan, "The foundations of cost-sensitive learning", 2001).

    Args:
        logits: float32 [B, M].
        batch: ``label``, ``weight`` and ``log_rate``, the log of the rate, float32 [B, M].
    """
    label = batch["label"]
    weight = batch["weight"] * (1 + (positive_weight - 1) * label)
    trained = logits - batch["log_rate"] + float(np.log(positive_weight))
    nats = tf.nn.sigmoid_cross_entropy_with_logits(label, trained) * weight
    return tf.reduce_sum(nats) / worker_group().total(tf.reduce_sum(weight))


def list_loss(logits: Any, batch: Mapping[str, Any]) -> Any:
    """Sampled softmax with logQ correction of the positive among its candidates, in nats per list.

    Nothing that is the same for all candidates of a list changes it, so a model that also learns from impressions,
    where positives are more frequent, need not bridge the two.

    Args:
        logits: float32 [B, M]; the positive comes first.
        batch: ``weight``, 0 where there is no candidate, and ``log_rate``, as in `cross_entropy`, float32 [B, M].
    """
    drawn = tf.where(batch["weight"] > 0, logits - batch["log_rate"], logits.dtype.min)
    nats = tf.reduce_logsumexp(drawn, axis=1) - drawn[:, 0]
    return tf.reduce_sum(nats) / worker_group().total(tf.cast(tf.size(nats), nats.dtype))
