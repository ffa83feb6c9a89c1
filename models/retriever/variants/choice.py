"""The choice between variants: each is trained on the sample, and judged by the NDCG of the same validation events.

The configured towers are the first, and stay unless another variant is better by more than chance. What was found is
kept beside the run folder as soon as it is known, so that a killed run goes on with the same towers, whatever there
would be time for when it is started again. Of several workers the chief tries alone, and tells the others.
"""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ....core.artifact import RESUME, path_beside
from ....core.files import read_json
from ... import metrics
from ...config import TwoTowerConfig
from ...training.checkpoints import replace
from ...training.worker_group import alone, worker_group
from .sample import sample
from .settings import Variant, variants
from .trials import Score, Trial, Watch, best, line, summary, tried, unfinished

if TYPE_CHECKING:
    from ....workflows.etl.tensors import Tensors
    from ...training.rows import Events

log = logging.getLogger(__name__)
FILE = "variants.json"
MOST_EPOCHS = 10
"""A variant has no more epochs than this on the sample."""
FEWEST_USERS = 100
"""With fewer users in the validation part, differences are chance."""


@dataclass(frozen=True)
class ChosenTowers:
    """What is trained."""

    config: TwoTowerConfig
    facts: Mapping[str, Any]
    """Metrics: what was tried, and notices; empty without ``two_tower.auto``."""


def choose(
    tensors: Tensors,
    config: TwoTowerConfig,
    folder: Path,
    *,
    keep_seen: bool = False,
    clock: Callable[[], float] = time.monotonic,
    score: Score | None = None,
) -> ChosenTowers:
    """The towers to train: the configured ones, or with ``two_tower.auto`` the best variant of them.

    Args:
        folder: of the artifact that is being made.
        keep_seen: whether items that a user has seen are recommended again.
        clock: seconds.
        score: stands for the training of a variant.
    """
    if not config.auto:
        return ChosenTowers(config, {})
    every = variants(config, tensors.schema)
    found: dict[str, Any] = {}

    def of_chief() -> float:
        found.update(_kept(folder) or _find(tensors, config, every, folder, keep_seen, clock, score))
        return float([one.name for one in every].index(found["variants"]["chosen"]))

    chosen = every[int(worker_group().of_chief(of_chief))]
    return ChosenTowers(chosen.of(config), found)


def _kept(folder: Path) -> dict[str, Any] | None:
    """What a run of the same stage found before it was killed."""
    beside = path_beside(folder, RESUME)
    if beside is None or not (beside / FILE).is_file():
        return None
    kept: dict[str, Any] = read_json(beside / FILE)
    return kept


def _find(
    tensors: Tensors,
    config: TwoTowerConfig,
    every: Sequence[Variant],
    folder: Path,
    keep_seen: bool,
    clock: Callable[[], float],
    score: Score | None,
) -> dict[str, Any]:
    """Try the variants, and keep beside the run folder what was found."""
    train, valid = sample(tensors, config.training.seed)
    users, trials, notices = len(np.unique(valid.user_row)), list[Trial](), list[str]()
    if len(every) == 1:
        notices = ["two_tower.auto: the config sets every key that it would try, so nothing was tried"]
    elif users < FEWEST_USERS:
        notices = [
            f"two_tower.auto: needs validation positives of {FEWEST_USERS} users or more, the sample has those of "
            f"{users}, so nothing was tried and the towers are as configured"
        ]
    else:
        with alone(), TemporaryDirectory(dir=folder, prefix="variants.") as own:
            trained = score or _trained(tensors, config, train, valid, Path(own) / "weights", keep_seen)
            trials = tried(every, trained, config.auto_minutes, clock)
        notices = unfinished(trials, config.auto_minutes)
    chosen = best(trials, valid.user_row)
    facts: dict[str, Any] = {
        "chosen": every[chosen].name,
        "changed": dict(every[chosen].changed),
        "sample": {"positives": len(train), "events": len(valid), "users": users},
        "tried": summary(trials, valid.user_row),
    }
    for notice in notices:
        log.warning(notice)
    lines = [f"the towers are {facts['chosen']}", *(line(name, of) for name, of in facts["tried"].items())]
    log.info("two_tower.auto: %s", "; ".join(lines))
    found = {"variants": facts, **({"notices": notices} if notices else {})}
    if (beside := path_beside(folder, RESUME)) is not None:
        replace(beside / FILE, lambda file: file.write_text(json.dumps(found)))
    return found


def _trained(
    tensors: Tensors, config: TwoTowerConfig, train: Events, valid: Events, checkpoint: Path, keep_seen: bool
) -> Score:
    """Train variants on a sample. ``checkpoint`` is not directly in the artifact's folder, so nothing is resumed."""
    from ..._merlin import tf
    from ...layers.feature_gather import Lookup
    from ...training.loop import EPOCH_CALLBACK
    from .. import training
    from ..user_items import hidden_items

    hidden, lookup = hidden_items(tensors, keep_seen=keep_seen), Lookup(tensors)

    def ndcg(variant: Variant) -> metrics.Values:
        own = variant.of(config)
        few = {"epochs": min(own.training.epochs, MOST_EPOCHS), "tensorboard": False}
        own = own.model_copy(update={"training": own.training.model_copy(update=few)})
        title, parts = f"two_tower, {variant.name}", training.TowerParts(train, valid)
        model, _ = training.train(tensors, own, checkpoint, keep_seen=keep_seen, parts=parts, title=title)
        return metrics.target_ndcg(training.valid_ranks(model, lookup, valid, hidden, title))

    def score(variant: Variant, watch: Watch) -> metrics.Values:
        token = EPOCH_CALLBACK.set(watch)
        try:
            return ndcg(variant)
        finally:
            EPOCH_CALLBACK.reset(token)
            tf.keras.backend.clear_session()  # graphs and tables of all variants would add up
            gc.collect()

    return score
