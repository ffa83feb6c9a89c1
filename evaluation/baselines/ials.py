"""Matrix factorization with weighted alternating least squares, from the library `implicit`.

Hu et al., "Collaborative filtering for implicit feedback datasets", 2008.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from .past import Past
from .registered import UserScores

SEED = 42


@dataclass(frozen=True)
class IalsSetting:
    """What is tuned."""

    factors: int = 128
    regularization: float = 30.0
    alpha: float = 10.0
    """Weight of a positive; that of every other item is 1."""


ITERATIONS, TRIAL_ITERATIONS = 15, 7
"""Of the final fit, and of one that only compares settings."""
GRID = {"regularization": (10.0, 100.0), "alpha": (3.0, 30.0), "factors": (64, 256)}


def trial_scores(past: Past, setting: IalsSetting) -> UserScores:
    """`ials_scores` after half of the iterations."""
    return ials_scores(past, setting, TRIAL_ITERATIONS)


def ials_scores(past: Past, setting: IalsSetting, iterations: int = ITERATIONS) -> UserScores:
    """Inner products of the user's and the items' factors."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):  # implicit runs its own threads
        model = AlternatingLeastSquares(**asdict(setting), iterations=iterations, random_state=SEED)
        model.fit(past.matrix, show_progress=False)
    users, items = (np.asarray(factors, np.float32) for factors in (model.user_factors, model.item_factors))
    return lambda rows: users[rows] @ items.T
