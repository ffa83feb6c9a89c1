"""The sample that variants are tried on: some users with all their positives, and the whole catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...training.rows import Events

if TYPE_CHECKING:
    from ....workflows.etl.tensors import Tensors

MOST_POSITIVES = 60_000
"""Users are drawn as long as they have at most so many positives in the training part."""
MOST_EVENTS = 5_000
"""Validation events; more are drawn."""


def sample(tensors: Tensors, seed: int, most: int = MOST_POSITIVES) -> tuple[Events, Events]:
    """The positives of the training and the validation part, of users drawn at random from those of both.

    Users without positives in the training part are drawn as well, so that their share stays what it is.
    """
    train, valid = (Events.positives(tensors.interactions(split)) for split in ("train", "valid"))
    chosen = drawn(np.bincount(train.user_row, minlength=len(tensors.user_ids)), most, seed)
    some, judged = (events.take(np.flatnonzero(chosen[events.user_row])) for events in (train, valid))
    return some, judged.sample(MOST_EVENTS, seed)


def drawn(counts: NDArray[np.int64], most: int, seed: int) -> NDArray[np.bool_]:
    """Which users are drawn, bool [n_users]; at least one.

    Args:
        counts: [n_users], positives of each.
        most: how many positives they may have together.
    """
    order = np.random.default_rng(seed).permutation(len(counts))
    fits = np.cumsum(counts[order]) <= most
    fits[:1] = True
    found = np.zeros(len(counts), bool)
    found[order[fits]] = True
    return found
