"""Subsampling of popular items: each epoch of the retriever sees only some of their positives.

Mikolov et al., "Distributed representations of words and phrases and their compositionality", 2013, equation 5: an
event of an item whose share of all events is f is kept with probability min(1, sqrt(t / f)), drawn anew in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from ..training.loop import shuffled


class SampledPositives:
    """The positives of an epoch, in batches.

    Args:
        item_row: [n], the items of the events.
        counts: int64 [n_items], the events of each item.
        threshold: t; 0 keeps all events.

    Raises:
        ConfigError: if fewer than two events are kept.
    """

    def __init__(self, item_row: NDArray[np.int32], counts: NDArray[np.int64], threshold: float) -> None:
        stays = keep_probability(counts, threshold)
        self.counts: NDArray[np.float64] = counts * stays
        """[n_items], the expected events of each item in an epoch."""
        self._stays = stays[item_row] if (stays < 1).any() else None
        self._events = len(item_row)
        # One less than are drawn: rounding in the sum must not make an epoch one event short.
        self.size = len(item_row) if self._stays is None else max(int(self._stays.sum()) - 1, 0)
        """Events of an epoch."""
        if self.size < 2:
            raise ConfigError(
                f"two_tower.subsample: {threshold:g} keeps {self.size} of {len(item_row)} positives an epoch; raise it"
            )

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterable[NDArray[Any]]:
        """The event numbers of an epoch in random order, in full batches of ``batch_size`` (at most ``size``)."""
        kept = self.draw(rng)
        if kept is None:
            return shuffled(self._events, batch_size, rng)
        return list(kept[: self.size // batch_size * batch_size].reshape(-1, batch_size))

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """The event numbers [size] of an epoch in random order; None if all are kept.

        Systematic sampling (Madow and Madow, "On the theory of systematic sampling", 1944): an event is kept where the
        running sum of the probabilities, with a random start, passes a whole number.
        """
        if self._stays is None:
            return None
        order = rng.permutation(self._events)
        passed = np.floor(np.cumsum(self._stays[order]) + rng.random()).astype(np.int64)
        return order[np.diff(passed, prepend=0) > 0][: self.size]


def keep_probability(counts: NDArray[np.int64], threshold: float) -> NDArray[np.float64]:
    """Probability float64 [n_items] that an event of the item is kept in an epoch."""
    if not threshold:
        return np.ones(len(counts))
    share = np.maximum(counts, 1) / max(counts.sum(), 1)
    return np.asarray(np.minimum(1.0, np.sqrt(threshold / share)), np.float64)
