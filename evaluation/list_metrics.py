"""Metrics of ranked lists by name: the built-in ones, and those that are registered."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.errors import ConfigError
from ..core.registry import find, naming
from ..models.metrics import Counts, Hits, Values, average_precision, ndcg, recall, reciprocal_rank


class Metric(Protocol):
    """A registered metric of ranked lists."""

    def __call__(self, hits: Hits, relevant: Counts, k: int, /) -> Values:
        """The value of each of U lists.

        Args:
            hits: bool [U, R], whether the item at each place is relevant, best first; R may be less than k.
            relevant: int64 [U], how many items are relevant to the user, at least one.
            k: places that count.

        Returns:
            float64 [U], finite; a larger value is a better list. The mean over users is the caller's.
        """
        ...


METRICS: dict[str, Metric] = {
    "recall": recall,
    "ndcg": ndcg,
    "map": average_precision,
    "mrr": lambda hits, relevant, k: reciprocal_rank(hits, k),
}


def metric_values(name: str, hits: Hits, relevant: Counts, k: int) -> Values:
    """The metric ``name`` of each user [U], over the first ``k`` positions.

    Raises:
        ConfigError: if there is no such metric, it raises, or it does not return a finite number for each user.
    """
    metric: Metric = find("metric", name, METRICS)
    with naming("metric", name):
        values = np.asarray(metric(_read_only(hits), _read_only(relevant), k), np.float64)
    if values.shape != (len(hits),) or not np.isfinite(values).all():
        raise ConfigError(
            f"metric {name!r}: expected a finite number for each of {len(hits)} users, got an array of shape "
            f"{list(values.shape)} with {int((~np.isfinite(values)).sum())} that are not finite"
        )
    return values


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written to: the other metrics read the same array."""
    view = array.view()
    view.flags.writeable = False
    return view
