"""Transition features: how often a candidate followed the user's last items in the training part, see `transitions`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from ...core.features import HISTORY
from ...workflows.history.transitions import TRANSITIONS, Transitions
from ..config import TransitionsConfig
from ..training.rows import Events

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors


@dataclass(frozen=True)
class TransitionFeatures:
    """Transition counts, and the features that the ranker computes from them."""

    transitions: Transitions
    config: TransitionsConfig

    @classmethod
    def of(cls, tensors: Tensors, config: TransitionsConfig) -> TransitionFeatures | None:
        """Count the transitions of the training part; None if the ranker does not use them.

        Raises:
            ConfigError: there are no times to count them by.
        """
        if not config.last:
            return None
        if not tensors.schema[HISTORY].ordered:
            raise ConfigError(
                "dlrm_ranker.transitions.last: the interactions have no timestamps, so no item follows another; set it "
                "to 0"
            )
        events = Events.positives(tensors.interactions("train"))
        history: Any = events.moment[HISTORY]
        sizes = tensors.schema[HISTORY].cardinality, len(tensors.item_ids)
        return cls(Transitions.from_histories(history, events.item_row, sizes, config.window), config)

    @classmethod
    def open(cls, folder: Path, config: TransitionsConfig) -> TransitionFeatures | None:
        """The counts of a trained ranker, stored in ``folder``; None if it does not use them."""
        return cls(Transitions.open(folder), config) if config.last else None

    def columns(
        self, events: Events, items: NDArray[np.integer[Any]], own: NDArray[np.int32] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """The column ``transitions`` float32 [n, K, WIDTH] of n events and item rows [n, K].

        Args:
            own: int32 [n]; for training events the item whose transitions are subtracted, because the counts include
                the event itself; -1 for none.
        """
        config, history = self.config, np.asarray(events.moment[HISTORY])
        return {TRANSITIONS: self.transitions(history, items, config.last, own, config.window)}
