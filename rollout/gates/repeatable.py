"""Whether a release answers the same request with the same items: again, in another batch, and alone."""

from __future__ import annotations

import numpy as np

from ...ensemble.graph.executor import Executor
from .mapped_pages import let_go
from .measure import columns_for
from .requests import HeldOutRequests
from .verdict import GateVerdict, judged

NAME = "repeatable"
TOGETHER, ALONE = 64, 16
"""Requests that are asked in a batch, and those of them that are asked one by one."""
CLOSE = 1e-5
"""Largest difference of two probabilities of the same item."""


def repeatable_verdict(executor: Executor, requests: HeldOutRequests) -> GateVerdict:
    """Figures: number of requests whose answers ``differ``, of ``asked``."""
    count = min(TOGETHER, len(requests), executor.max_users)
    order = np.arange(count)
    first = executor.run(columns_for(executor, requests, order))[0]
    differ = set[int]()
    for others in (order, order[::-1], *order[:ALONE, None]):
        again = executor.run(columns_for(executor, requests, others))[0]
        same = (again["item_ids"] == first["item_ids"][others]).all(axis=1)
        same &= np.isclose(again["scores"], first["scores"][others], rtol=0, atol=CLOSE, equal_nan=True).all(axis=1)
        differ.update(others[~same].tolist())
    let_go()
    faults = [
        f"{len(differ):,} of {count:,} requests have another answer when they are asked again, or in another batch"
    ]
    return judged(NAME, faults if differ else [], "the same answers again", {"differ": len(differ), "asked": count})
