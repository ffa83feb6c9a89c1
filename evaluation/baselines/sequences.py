"""What each user had before the test part, in order: what baselines know of the order of things."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors


@dataclass(frozen=True)
class UserSequences:
    """Positives by user row, each user's in order of time; P in all.

    ``users``, ``items``: int32 [P] rows.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    n_users: int
    n_items: int

    @classmethod
    def read(cls, tensors: Tensors) -> UserSequences:
        """Of the training and the validation part; where timestamps are equal, in the order of the parts' rows."""
        sources = [tensors.interactions(split) for split in ("train", "valid")]
        users, items, stamps = (
            np.concatenate([getattr(source, name)[source.positive] for source in sources])
            for name in ("user_row", "item_row", "timestamp")
        )
        order = np.lexsort((stamps, users))
        return cls(users[order], items[order], len(tensors.user_ids), len(tensors.item_ids))

    def last(self, users: NDArray[np.integer[Any]], count: int) -> NDArray[np.int64]:
        """The item rows int64 [U, count] that users [U] had last, most recent first, padded with -1."""
        starts, ends = (np.searchsorted(self.users, users, side) for side in ("left", "right"))
        places = ends[:, None] - 1 - np.arange(count)
        padded: NDArray[np.int64] = np.append(self.items, -1).astype(np.int64)  # its last one is also what -1 finds
        return np.asarray(padded[np.where(places >= starts[:, None], places, -1)])
