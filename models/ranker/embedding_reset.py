"""New embeddings at the beginning of each epoch, so that the ranker does not learn its rows by heart.

An embedding that sees an id's few events for a second time knows their labels, and the layers above it come to trust
it: click models get worse from the second or third epoch on. With new embeddings they see the events as if they were
new, and go on learning what holds for any. Fan et al., "Multi-epoch learning with data augmentation for deep
click-through rate prediction", 2024 (MEDA). The average of the weights, which is what is kept, has several epochs'
embeddings in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layers.feature_vectors import INITIAL


@dataclass(frozen=True)
class Renewal:
    """Gives ``tables`` new embeddings: the same in each epoch of that number, also in a training that goes on.

    Args:
        tables: Merlin's, built.
        then: sets the rows that do not begin at random.
    """

    tables: Sequence[Any]
    seed: int
    then: Callable[[], None]

    def __call__(self, epoch: int) -> None:
        """Before the first step of ``epoch``."""
        for number, table in enumerate(self.tables):
            embeddings = table.table.embeddings
            drawn = np.random.default_rng([self.seed, epoch, number]).random(embeddings.shape, np.float32)
            embeddings.assign(INITIAL * (2 * drawn - 1))
        self.then()
