"""How the retriever learns: next positives, against the other items of the batch and what else is drawn or mined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .backend import tf
from .config import TwoTowerConfig
from .encode import encode_items, encode_users
from .events import Events
from .fit import Fit, fit, prepare, shuffled
from .lookup import Lookup
from .mining import positive_matrix, with_mining
from .negatives import Catalogue, draw
from .objective import OF_ITEMS, Objective
from .optimizers import Optimizer
from .ranks import full_ndcg, seen_matrix, target_ranks
from .step import Step, traced_once
from .team import team
from .two_tower import TwoTower, build

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ..workflows.tensors import Tensors

VALID_EVENTS = 5000
"""Validation draws at most that many events."""


@dataclass(frozen=True, kw_only=True)
class TwoTowerFit(Fit):
    """What the retriever's training came to."""

    hard_share: float
    """Share of the last epoch's negatives that score above their positive less ``two_tower.negatives.margin``."""
    temperature: float


def train(tensors: Tensors, config: TwoTowerConfig, checkpoint: Path) -> tuple[TwoTower, TwoTowerFit]:
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
    steps = len(events) // size
    catalogue = Catalogue(tensors.item_counts, config.negatives.popularity)
    objective = Objective(config, tensors.item_counts, catalogue, size, steps)
    step = make_step(model, lookup, config, objective)
    if config.neg_sampling == "hard":
        step = with_mining(step, model, lookup, config, positive_matrix(events, seen.shape))
    step = step.on(own_part)

    def batches(rng: np.random.Generator) -> Iterable[Mapping[str, Any]]:
        for at in shuffled(len(events), size, rng):
            rows = events.take(at)
            yield {**rows.queries(), "item_row": rows.item_row, **draw(config, catalogue, rng, size)}

    def score() -> float:
        return full_ndcg(valid_ranks(model, lookup, valid, seen))

    found = fit(
        model,
        config.training,
        "two_tower",
        steps,
        batches,
        step,
        score if len(valid) else None,
        checkpoint,
    )
    return model, TwoTowerFit(**vars(found), hard_share=objective.hard_share(), temperature=float(model.temperature()))


def make_step(model: TwoTower, lookup: Lookup, config: TwoTowerConfig, objective: Objective) -> Step:
    """A compiled training step: batch -> loss."""
    optimizer = Optimizer(config.training)

    @tf.function(reduce_retracing=True)
    def step(batch: Mapping[str, Any]) -> Any:
        moment = {name: values for name, values in batch.items() if name not in OF_ITEMS}
        items_of = objective.rows(batch)
        with tf.GradientTape() as tape:
            queries, items = model((lookup.users(moment, config.id_dropout), lookup.items(items_of)), training=True)
            loss = objective(queries, items, batch, model.temperature())
        optimizer.minimize(tape, loss, model.trainable_variables)
        return team().total(loss)

    return Step(traced_once(step), optimizer, objective.variables)


def own_part(batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """This worker's queries of a batch, and the items of all."""
    if team().count == 1:
        return batch
    own = {name: values if name == "drawn_row" else team().part(values) for name, values in batch.items()}
    return {**own, "batch_row": batch["item_row"]}


def valid_ranks(model: TwoTower, lookup: Lookup, valid: Events, seen: csr_matrix) -> NDArray[np.int64]:
    """Rank [n] of each validation event's item among all items that its user has not in ``seen``."""
    return target_ranks(encode_users(model, lookup, valid), encode_items(model, lookup, seen.shape[1]), valid, seen)
