"""Training of the retriever: the next positive of a user against the other items of the batch, drawn and mined ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import DataError
from .. import metrics
from .._merlin import compiled, tf
from ..config import TwoTowerConfig, targets
from ..layers.feature_gather import Lookup
from ..training.loop import (
    Batches,
    Fit,
    fit,
    prepare,
)
from ..training.optimizers import Optimizer
from ..training.rows import WINDOW, Events, item_columns, user_columns
from ..training.step import TrainStep, traced_once
from ..training.worker_group import worker_group
from .encode import encode_items, encode_users
from .full_ranks import full_ranks
from .hard_negatives import with_mining
from .negatives import Catalogue, draw
from .neighbours import Neighbours
from .objective import ITEM_COLUMNS, Objective
from .subsampling import SampledPositives
from .two_tower import TwoTower, build
from .user_items import hidden_items, user_items
from .windows import SHARED, Windows, own_windows

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Tensors

VALID_EVENTS = 5000
"""Largest number of validation events; more are sampled."""


@dataclass(frozen=True, kw_only=True)
class TwoTowerFit(Fit):
    """The result of a training of the retriever."""

    hard_share: float
    """Share of the last epoch's negatives that score above their positive minus ``two_tower.negatives.margin``."""
    temperature: float
    """The configured one, or the learned one."""


@dataclass(frozen=True)
class TowerParts:
    """The positives that towers learn from, and those by which their epochs are judged."""

    train: Events
    valid: Events

    @classmethod
    def of(cls, tensors: Tensors) -> TowerParts:
        """All of them."""
        return cls(*(Events.positives(tensors.interactions(split)) for split in ("train", "valid")))


def train(
    tensors: Tensors,
    config: TwoTowerConfig,
    checkpoint: Path,
    *,
    keep_seen: bool = False,
    parts: TowerParts | None = None,
    title: str = "two_tower",
) -> tuple[TwoTower, TwoTowerFit]:
    """Train on the positives of the training part, with early stopping on the validation part's NDCG.

    The NDCG ranks the whole catalogue, without a cut-off.

    Args:
        checkpoint: folder for the weights.
        keep_seen: whether items that a user has seen are recommended again; they are then negatives like all others.
        parts: the positives of a sample; all of them by default.
        title: name of the training.

    Raises:
        DataError: if the training part holds fewer than two positives.
        DivergedError: if a score of the validation part is NaN.
    """
    parts = parts or TowerParts.of(tensors)
    events = parts.train
    if len(events) < 2:
        raise DataError(f"interactions: the training part holds {len(events)} positives, two_tower needs at least 2")
    prepare(config.training.seed)
    model, lookup = build(tensors.schema, config, tensors.items), Lookup(tensors)
    valid = parts.valid.sample(VALID_EVENTS, config.training.seed)
    hidden = hidden_items(tensors, keep_seen=keep_seen)
    counts = np.bincount(events.item_row, minlength=len(tensors.item_ids))
    positives = SampledPositives(events.item_row, counts, config.subsample)
    size = min(config.training.batch_size, positives.size)
    steps = positives.size // size
    catalogue = Catalogue(counts, config.negatives.popularity)
    objective = Objective(config, positives.counts, catalogue, size, steps)
    step = make_step(model, lookup, config, objective)
    if config.neg_sampling == "hard":
        known = events.take(np.zeros(0, np.int64)) if keep_seen else events
        step = with_mining(step, model, lookup, config, user_items(known, hidden.shape))
    step = step.on(own_part)

    of_epoch = batches_of(events, positives, tensors, config, model, size)

    def batches(rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for batch in of_epoch(rng):
            yield {**batch, **draw(config, catalogue, rng, size)}

    def score(of: str) -> float:
        return float(metrics.target_ndcg(valid_ranks(model, lookup, valid, hidden, of)).mean())

    found = fit(
        model,
        config.training,
        title,
        steps,
        batches,
        step,
        score if len(valid) else None,
        checkpoint,
        create=partial(create_weights, model, tensors),
        score_name="NDCG",
    )
    return model, TwoTowerFit(**vars(found), hard_share=objective.hard_share(), temperature=float(model.temperature()))


def batches_of(
    events: Events, positives: SampledPositives, tensors: Tensors, config: TwoTowerConfig, model: TwoTower, size: int
) -> Batches:
    """The batches of an epoch in random order: events with a history each, or windows of events that share one."""
    most = targets(config.user_tower.history)
    history = model.query.blocks[0].history
    if history is None or most == 1:
        return lambda rng: map(batch_of, (events.take(at) for at in positives.batches(size, rng)))
    windows = Windows(events, np.asarray(tensors.items["item_id"])[:, 0], min(most, history.length))
    history.windows_per_row = windows.per_row
    return lambda rng: windows.batches(size, rng, positives.draw(rng))


def create_weights(model: TwoTower, tensors: Tensors) -> None:
    """Call the model on one row, which creates its weights."""
    one = Events.of(tensors.interactions("train")).take(np.zeros(1, np.int64))
    model((user_columns(tensors, one), item_columns(tensors, np.zeros(1, np.int64))))


def batch_of(rows: Events) -> dict[str, Any]:
    return {**rows.queries(), "item_row": rows.item_row}


def make_step(model: TwoTower, lookup: Lookup, config: TwoTowerConfig, objective: Objective) -> TrainStep:
    """A compiled training step from a batch to its loss (over the queries of all workers)."""
    optimizer = Optimizer(config.training)

    @compiled(reduce_retracing=True)
    def step(batch: Mapping[str, Any]) -> Any:
        moment = {name: values for name, values in batch.items() if name not in ITEM_COLUMNS}
        items_of = objective.rows(batch)
        with tf.GradientTape() as tape:
            users = lookup.users(moment, config.id_dropout, config.user_id_dropout)
            shown = lookup.items(items_of, config.item_id_dropout, at_once=True)
            queries, items = model((users, shown), training=True)
            loss = objective(queries, items, batch, model.temperature())
        optimizer.minimize(tape, loss, model.trainable_variables)
        return worker_group().total(loss)

    return TrainStep(traced_once(step), optimizer, objective.variables)


def own_part(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """This worker's part of a batch: its queries, the histories that they need, and the positives of all queries."""
    if worker_group().count == 1:
        return batch
    shared = {"drawn_row", *(SHARED if WINDOW in batch else ())}
    own = {name: values if name in shared else worker_group().part(values) for name, values in batch.items()}
    own |= {"batch_row": batch["item_row"]}
    return {**own, **own_windows(own), "batch_window": batch[WINDOW]} if WINDOW in batch else own


def valid_ranks(
    model: TwoTower,
    lookup: Lookup,
    valid: Events,
    seen: csr_matrix,
    of: str = "two_tower",
    neighbours: Neighbours | None = None,
) -> metrics.Values:
    """Rank [n] of each validation event's item; see `full_ranks`."""
    queries, vectors = encode_users(model, lookup, valid), encode_items(model, lookup, seen.shape[1])
    return full_ranks(queries, vectors, valid, seen, of, neighbours)
