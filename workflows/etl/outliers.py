"""Numbers so far from the rest of their column that standardizing leaves models no difference between the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..tables.raw_features import TABLES, RawFeature
from .train_part import Partition

SAMPLE = 100_000
"""Values of a column that are looked at, about."""
MOST = 0.95
"""Share of the values that should have room; those left out are the farthest from the median, at least one."""
LEAST = 0.01
"""Standard deviation of these, in standard deviations of all values. Below it, a notice is given."""


def outlier_notices(parts: Sequence[Partition], features: Sequence[RawFeature], stds: Mapping[str, float]) -> list[str]:
    """A notice for each column of numbers that a few far ones flatten.

    Args:
        parts: of one side, training rows.
        features: of the same side; those that are no numbers are ignored.
        stds: column -> the standard deviation that models divide by.
    """
    import dask

    numbers = [feature for feature in features if feature.role == "continuous"]
    if not numbers:
        return []
    samples = dask.compute([dask.delayed(_sample)(part, numbers, SAMPLE // len(parts) + 1) for part in parts])[0]
    notices = []
    for feature in numbers:
        values = np.concatenate([sample[feature.name] for sample in samples])
        notices += _notice(f"{TABLES[feature.side]}.{feature.name}", values, stds[feature.name])
    return notices


def _sample(part: Partition, features: Sequence[RawFeature], count: int) -> dict[str, NDArray[np.float64]]:
    """Column -> about ``count`` of its values, evenly chosen, with the smallest and the largest."""
    table, found = part.table(features), {}
    for name in (feature.name for feature in features):
        values = table[name].drop_null().to_numpy().astype(np.float64)
        chosen = values[:: max(1, len(values) // count)]
        missed = len(chosen) < len(values)
        found[name] = np.concatenate([chosen, [values.min(), values.max()]]) if missed else chosen
    return found


def _notice(where: str, values: NDArray[np.float64], std: float) -> list[str]:
    """The notice for ``values`` [n], if one is due."""
    if len(values) < 3:
        return []
    order = np.argsort(np.abs(values - np.median(values)), kind="stable")
    near, far = values[order[: min(int(len(values) * MOST), len(values) - 1)]], values[order[-1]]
    if not 0 < near.std() < LEAST * std:
        return []
    return [
        f"{where}: {far:g} is so far from the others, most of which are {near.min():g} to {near.max():g}, that models "
        "hardly see a difference between these; correct it, leave it empty if it stands for a missing value, or put "
        "the logarithm in place of the column"
    ]
