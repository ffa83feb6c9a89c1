"""How the retriever learns: next positives, against the other items of the batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .backend import tf
from .config import TwoTowerConfig
from .events import Events
from .fit import Fit, fit, prepare, shuffled
from .lookup import Lookup
from .losses import CORRECTED, LOSSES, in_batch_logits
from .optimizers import Optimizer
from .ranks import full_ndcg, seen_matrix, target_ranks
from .step import Step
from .two_tower import TwoTower, build

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ..workflows.tensors import Tensors

VALID_EVENTS = 5000
"""Validation draws at most that many events."""
CHUNK = 4096


def train(tensors: Tensors, config: TwoTowerConfig, checkpoint: Path) -> tuple[TwoTower, Fit]:
    """Train on the positives of the training part, stop on NDCG over the whole catalogue of the validation part.

    Raises:
        DataError: if the training part holds fewer than two positives.
    """
    source = tensors.interactions("train")
    events = Events.positives(source)
    if len(events) < 2:
        raise DataError(f"interactions: the training part holds {len(events)} positives, two_tower needs at least 2")
    prepare(config.training.seed)
    model, lookup = build(tensors.schema, config), Lookup(tensors)
    valid = Events.positives(tensors.interactions("valid")).sample(VALID_EVENTS, config.training.seed)
    seen = seen_matrix(source, (len(tensors.user_ids), len(tensors.item_ids)))
    size = min(config.training.batch_size, len(events))

    def batches(rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for at in shuffled(len(events), size, rng):
            rows = events.take(at)
            yield {**rows.queries(), "item_row": rows.item_row}

    def score() -> float:
        return full_ndcg(valid_ranks(model, lookup, valid, seen))

    found = fit(
        model,
        config.training,
        "two_tower",
        len(events) // size,
        batches,
        make_step(model, lookup, config, tensors.item_counts),
        score if len(valid) else None,
        checkpoint,
    )
    return model, found


def make_step(model: TwoTower, lookup: Lookup, config: TwoTowerConfig, counts: NDArray[np.int64]) -> Step:
    """A compiled training step: batch -> loss.

    Args:
        counts: int64 [n_items], how often an item is a positive; as a share, its chance to be drawn.
    """
    chance = np.maximum(counts, 1) / max(counts.sum(), 1)
    log_q = tf.constant(np.log(chance), tf.float32)
    optimizer = Optimizer(config.training)
    loss_of = LOSSES[config.loss]

    @tf.function(reduce_retracing=True)
    def step(batch: Mapping[str, Any]) -> Any:
        rows = batch["item_row"]
        moment = {name: values for name, values in batch.items() if name != "item_row"}
        with tf.GradientTape() as tape:
            queries, items = model((lookup.users(moment, config.id_dropout), lookup.items(rows)), training=True)
            correction = tf.gather(log_q, rows) if config.loss in CORRECTED else None
            loss = loss_of(in_batch_logits(queries, items, rows, config.temperature, correction))
        optimizer.minimize(tape, loss, model.trainable_variables)
        return loss

    return Step(step, optimizer)


def encode_users(model: TwoTower, lookup: Lookup, events: Events) -> NDArray[np.float32]:
    """Query vectors float32 [n, D]."""
    parts = [events.take(np.arange(at, min(at + CHUNK, len(events)))) for at in range(0, len(events), CHUNK)]
    return np.concatenate([model.query(lookup.users(part.queries())).numpy() for part in parts])


def encode_items(model: TwoTower, lookup: Lookup, count: int) -> NDArray[np.float32]:
    """Item vectors float32 [count, D]."""
    starts = range(0, count, CHUNK)
    parts = [model.candidate(lookup.items(np.arange(at, min(at + CHUNK, count)))).numpy() for at in starts]
    return np.concatenate(parts)


def valid_ranks(model: TwoTower, lookup: Lookup, valid: Events, seen: csr_matrix) -> NDArray[np.int64]:
    """Rank [n] of each validation event's item among all items that its user has not in ``seen``."""
    return target_ranks(encode_users(model, lookup, valid), encode_items(model, lookup, seen.shape[1]), valid, seen)
