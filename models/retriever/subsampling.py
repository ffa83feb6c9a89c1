"""Which positives an epoch of the retriever sees: all, or fewer of the items that have very many.

Mikolov et al., "Distributed representations of words and phrases and their compositionality", 2013, equation 5: an
event of an item whose share of the events is f stays with probability min(1, sqrt(t / f)), drawn anew for each epoch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from ..training.loop import shuffled


class Positives:
    """The events of an epoch, in batches.

    Args:
        item_row: [n] of the events.
        counts: int64 [n_items], how often an item is among them.
        threshold: t; 0 keeps all.

    Raises:
        ConfigError: if fewer than two events are left.
    """

    def __init__(self, item_row: NDArray[np.int32], counts: NDArray[np.int64], threshold: float) -> None:
        stays = keep_chance(counts, threshold)
        self.counts: NDArray[np.float64] = counts * stays
        """[n_items], how often an item is expected in an epoch."""
        self._stays = stays[item_row] if (stays < 1).any() else None
        self._events = len(item_row)
        # One less than are drawn, so that no rounding of sums makes an epoch a step shorter.
        self.size = len(item_row) if self._stays is None else max(int(self._stays.sum()) - 1, 0)
        """Events of an epoch; as many at least."""
        if self.size < 2:
            raise ConfigError(
                f"two_tower.subsample: {threshold:g} keeps {self.size} of {len(item_row)} positives an epoch; raise it"
            )

    def batches(self, batch_size: int, rng: np.random.Generator) -> Iterable[NDArray[Any]]:
        """An epoch's event numbers in random order, in full batches; ``batch_size`` is at most ``size``."""
        kept = self.draw(rng)
        if kept is None:
            return shuffled(self._events, batch_size, rng)
        return list(kept[: self.size // batch_size * batch_size].reshape(-1, batch_size))

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64] | None:
        """An epoch's event numbers [size] in random order, each with its probability; None for all.

        Systematic sampling (Madow and Madow, "On the theory of systematic sampling", 1944): where the running sum of
        probabilities, from a random start, passes a whole number.
        """
        if self._stays is None:
            return None
        order = rng.permutation(self._events)
        passed = np.floor(np.cumsum(self._stays[order]) + rng.random()).astype(np.int64)
        return order[np.diff(passed, prepend=0) > 0][: self.size]


def keep_chance(counts: NDArray[np.int64], threshold: float) -> NDArray[np.float64]:
    """Probability [n_items] with which an event of each item stays in an epoch."""
    if not threshold:
        return np.ones(len(counts))
    share = np.maximum(counts, 1) / max(counts.sum(), 1)
    return np.asarray(np.minimum(1.0, np.sqrt(threshold / share)), np.float64)
