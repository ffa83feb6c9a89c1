"""How popular items are, as a score that is the same in every request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ....workflows.etl.tensors import Split, Tensors

NEWEST = 1.0, 0.5, 0.2, 0.1
"""Tried where events have times: the share of the positives that count, the newest ones."""


def popularity(tensors: Tensors, parts: Sequence[Split], newest: float, kept: int) -> NDArray[np.float32]:
    """log(1 + positives) of each item [n_items], less that of the first item that is not kept; 0 for all that are not.

    Args:
        parts: the parts of the data whose positives are counted.
        newest: the share of them that counts.
        kept: items with a score.
    """
    splits = [tensors.interactions(part) for part in parts]
    items = np.concatenate([split.item_row[split.positive] for split in splits])
    if newest < 1 and len(items):
        times = np.concatenate([split.timestamp[split.positive] for split in splits])
        items = items[times >= np.quantile(times, 1 - newest)]
    score = np.log1p(np.bincount(items, minlength=len(tensors.item_ids)))
    if kept < len(score):
        score -= np.partition(score, -kept - 1)[-kept - 1]
    return np.maximum(score, 0).astype(np.float32)
