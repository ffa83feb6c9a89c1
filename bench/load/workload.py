"""The requests of a load test: their users and parameters."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXPONENT = 0.8
"""Exponent of the Zipf-like distribution of requests over users. For web pages it lies between 0.64 and 0.83 (Breslau
et al., "Web caching and Zipf-like distributions", 1999, doi:10.1109/INFCOM.1999.749260)."""
UNKNOWN = 0.02
"""Share of requests by unknown users."""
REQUESTS = 4096
"""Number of distinct requests. The generator starts over at their end. Each thread of perf_analyzer prepares all of
them before it sends the first."""
LARGEST_UNKNOWN = 2**53
"""Every JSON parser reads integers up to this one exactly."""


@dataclass(frozen=True)
class Workload:
    """Parameters of the requests. Each request has its own seed for sampling."""

    top_k: int = 50
    temperature: float = 0.5
    exponent: float = EXPONENT
    unknown: float = UNKNOWN
    requests: int = REQUESTS
    seed: int = 0

    def write(self, known: NDArray[Any], file: Path) -> None:
        """Write perf_analyzer's input data: one user in each entry; a request for B users takes B consecutive entries.

        Args:
            known: [users] raw ids, int64 or text.
        """
        rng = np.random.default_rng(self.seed)
        users = draw_users(known, self.requests, rng, self.exponent, self.unknown).tolist()
        seeds = rng.integers(0, 2**31, self.requests).tolist()
        entries = [
            # float(): perf_analyzer refuses 1 for a float input, it must be 1.0.
            {"user_id": [user], "top_k": [self.top_k], "temperature": [float(self.temperature)], "seed": [seed]}
            for user, seed in zip(users, seeds, strict=True)
        ]
        file.write_text(json.dumps({"data": entries}))


def draw_users(
    known: NDArray[Any], count: int, rng: np.random.Generator, exponent: float = EXPONENT, unknown: float = UNKNOWN
) -> NDArray[Any]:
    """Draw [count] raw ids: the user of rank r with probability proportional to r ** -exponent, ranks being random.

    A share ``unknown`` of them is replaced by distinct ids that are not known.
    """
    weights = np.arange(1, len(known) + 1, dtype=np.float64) ** -exponent
    ranks = rng.choice(len(known), size=count, p=weights / weights.sum())
    drawn: NDArray[Any] = rng.permutation(known)[ranks].astype(object)
    replaced = np.flatnonzero(rng.random(count) < unknown)
    drawn[replaced] = unknown_ids(known, len(replaced), rng)
    return drawn


def unknown_ids(known: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[Any]:
    """[count] distinct ids that are not in ``known``."""
    candidates = rng.integers(0, LARGEST_UNKNOWN, 2 * count + 8)  # more than needed, a few may be known
    pool = candidates if known.dtype.kind in "iu" else np.array([f"unknown-{number}" for number in candidates])
    free = np.setdiff1d(pool, known)
    ids: NDArray[Any] = rng.permutation(free)[:count].astype(object)
    return ids
