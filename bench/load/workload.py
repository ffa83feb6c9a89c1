"""The requests of a load test: who asks, and how."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXPONENT = 0.8
"""Of the Zipf-like distribution. Requests for web pages follow one with an exponent between 0.64 and 0.83 (Breslau et
al. 1999, Web caching and Zipf-like distributions, doi:10.1109/INFCOM.1999.749260); users are taken to be alike."""
UNKNOWN = 0.02
"""Share of requests by users whom nobody knows."""
REQUESTS = 4096
"""Distinct requests; the generator starts over at the end. Each thread of perf_analyzer prepares all of them first."""
LARGEST_UNKNOWN = 2**53
"""Ids up to here are the same in every JSON parser."""


@dataclass(frozen=True)
class Workload:
    """How users ask; every request brings a seed of its own, so that sampling is on."""

    top_k: int = 50
    temperature: float = 0.5
    exponent: float = EXPONENT
    unknown: float = UNKNOWN
    requests: int = REQUESTS
    seed: int = 0

    def write(self, known: NDArray[Any], file: Path) -> None:
        """perf_analyzer's input data: one user an entry; a request of B users takes B entries in a row.

        Args:
            known: [users] raw ids, int64 or text.
        """
        rng = np.random.default_rng(self.seed)
        users = draw_users(known, self.requests, rng, self.exponent, self.unknown).tolist()
        seeds = rng.integers(0, 2**31, self.requests).tolist()
        entries = [
            # A float needs its point: perf_analyzer refuses 1 where the model takes a float.
            {"user_id": [user], "top_k": [self.top_k], "temperature": [float(self.temperature)], "seed": [seed]}
            for user, seed in zip(users, seeds, strict=True)
        ]
        file.write_text(json.dumps({"data": entries}))


def draw_users(
    known: NDArray[Any], count: int, rng: np.random.Generator, exponent: float = EXPONENT, unknown: float = UNKNOWN
) -> NDArray[Any]:
    """[count] raw ids: the user of rank r among ``known``, in random order, with probability ~ r ** -exponent.

    A share of ``unknown`` is replaced by ids of nobody, each another.
    """
    weights = np.arange(1, len(known) + 1, dtype=np.float64) ** -exponent
    ranks = rng.choice(len(known), size=count, p=weights / weights.sum())
    drawn: NDArray[Any] = rng.permutation(known)[ranks].astype(object)
    strangers = np.flatnonzero(rng.random(count) < unknown)
    drawn[strangers] = strange_ids(known, len(strangers), rng)
    return drawn


def strange_ids(known: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[Any]:
    """[count] distinct ids that are not in ``known``."""
    candidates = rng.integers(0, LARGEST_UNKNOWN, 2 * count + 8)  # so many that next to none of them is known
    pool = candidates if known.dtype.kind in "iu" else np.array([f"unknown-{number}" for number in candidates])
    free = np.setdiff1d(pool, known)
    ids: NDArray[Any] = rng.permutation(free)[:count].astype(object)
    return ids
