"""The positives of each user before the test part, in order of time, for baselines that depend on the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Split, Tensors

BEFORE_TEST: Sequence[Split] = ("train", "valid")


@dataclass(frozen=True)
class UserSequences:
    """P positives, sorted by user row and then by time. ``users``, ``items``: int32 [P], their rows.

    ``ordered``: whether there are times. Without them the order says nothing.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    n_users: int
    n_items: int
    ordered: bool = True

    @classmethod
    def read(cls, tensors: Tensors) -> UserSequences:
        """Read the training and the validation part. Positives with equal timestamps stay in the order of the rows."""
        return read_positives(tensors, BEFORE_TEST)[0]

    def last(self, users: NDArray[np.integer[Any]], count: int) -> NDArray[np.int64]:
        """The last ``count`` item rows of users [U], most recent first: int64 [U, count], padded with -1."""
        starts, ends = (np.searchsorted(self.users, users, side) for side in ("left", "right"))
        places = ends[:, None] - 1 - np.arange(count)
        padded: NDArray[np.int64] = np.append(self.items, -1).astype(np.int64)  # index -1 gives the padding
        return np.asarray(padded[np.where(places >= starts[:, None], places, -1)])


def read_positives(tensors: Tensors, splits: Sequence[Split]) -> tuple[UserSequences, NDArray[np.int64]]:
    """The positives of these parts, and the time of each, [P]."""
    sources = [tensors.interactions(split) for split in splits]
    users, items, stamps = (
        np.concatenate([getattr(source, name)[source.positive] for source in sources])
        for name in ("user_row", "item_row", "timestamp")
    )
    order = np.lexsort((stamps, users))
    sizes = len(tensors.user_ids), len(tensors.item_ids)
    return UserSequences(users[order], items[order], *sizes, tensors.schema[HISTORY].ordered), stamps[order]
