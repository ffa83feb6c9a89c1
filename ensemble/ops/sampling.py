"""Softmax sampling without replacement."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def gumbel_top_k(logits: Floats, temperature: float, seed: int, count: int) -> tuple[NDArray[np.int64], Floats]:
    """Draw ``count`` of ``logits`` [P] one after the other from softmax(logits / temperature) of those left.

    Adding Gumbel noise and sorting draws just so (Yellott 1977; Kool et al., ICML 2019).

    Returns:
        picks int64 [n], n = min(count, P), in the order drawn, and propensities float64 [n]: the probability of
        each pick given those before it (Plackett-Luce).
    """
    scaled = logits / temperature
    noise = np.random.Generator(np.random.PCG64(seed % 2**64)).gumbel(size=scaled.size)
    order = np.argsort(-(scaled + noise), kind="stable")
    drawn = scaled[order]
    left = np.logaddexp.accumulate(drawn[::-1])[::-1]
    return order[:count], np.exp(drawn - left)[:count]
