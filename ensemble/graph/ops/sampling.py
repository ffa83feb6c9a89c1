"""Softmax sampling without replacement."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.kernel import (
    BOOL,
    FLOAT32,
    INT32,
    INT64,
    inner,
    kernel,
    read,
    write,
)

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""Increment of SplitMix64: 2^64 divided by the golden ratio, made odd."""


@kernel(
    (
        *(read(INT64, 2), read(FLOAT32, 2), read(BOOL, 2), read(INT32, 2), read(FLOAT32, 2), read(INT64, 2)),
        *(write(INT64, 2), write(FLOAT32, 2)),
    )
)
def gumbel_top_k(
    rows: NDArray[np.int64],
    logits: NDArray[np.float32],
    pool: NDArray[np.bool_],
    top_k: NDArray[np.int32],
    temperature: NDArray[np.float32],
    seed: NDArray[np.int64],
    picks: NDArray[np.int64],
    propensities: NDArray[np.float32],
) -> None:
    """Draw ``top_k`` items of each user's pool without replacement, by softmax(logits / temperature) of those left.

    Sorting by logit / temperature plus Gumbel noise has this distribution (Yellott 1977; Kool et al., ICML 2019). The
    noise depends on the seed and the item row only, not on the item's position or the batch. Temperature 0 sorts by
    logit, ties keep their order, and every propensity is 1.

    Args:
        rows: item rows [B, K].
        logits: [B, K], above -inf in the pool.
        pool: [B, K].
        top_k, temperature, seed: [B, 1].
        picks: [B, k], filled with positions among the K candidates in the order drawn, then with -1.
        propensities: [B, k], filled with the probability of each pick given the earlier ones (Plackett-Luce), then
            with 0.
    """
    for user in range(len(rows)):
        heat = np.float64(temperature[user, 0])
        members = np.flatnonzero(pool[user])
        scaled = logits[user][members].astype(np.float64)
        keys = -scaled
        if heat > 0:
            scaled /= heat
            for i in range(len(members)):
                keys[i] = -scaled[i] - _gumbel(seed[user, 0], rows[user, members[i]])
        order = np.argsort(keys, kind="mergesort")
        count = min(top_k[user, 0], len(members))
        picks[user, :count] = members[order[:count]]
        picks[user, count:] = -1
        propensities[user, :count] = 1
        propensities[user, count:] = 0
        if heat > 0:
            left = -np.inf  # log of the sum of exp(scaled) over this pick and all later ones
            for place in range(len(members) - 1, -1, -1):
                drawn = scaled[order[place]]
                left = max(left, drawn) + np.log1p(np.exp(-abs(left - drawn)))
                if place < count:
                    propensities[user, place] = np.exp(drawn - left)


@inner()
def _gumbel(seed: int, counter: int) -> Any:
    """Standard Gumbel noise from the ``counter``-th number of SplitMix64's stream of ``seed``."""
    bits = _mix(_mix(np.uint64(seed)) + np.uint64(counter + 1) * GOLDEN)
    uniform = (np.float64(bits >> np.uint64(12)) + 0.5) * 2.0**-52  # above 0, below 1
    return -np.log(-np.log(uniform))


@inner()
def _mix(state: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
