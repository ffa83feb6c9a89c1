"""What every metric of ranked lists has to hold, as a test class to inherit from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..evaluation.list_metrics import Metric

LISTS, LENGTH, K = 40, 12, 5


class MetricContract:
    """Inherit from it and set ``metric`` (wrap a function in ``staticmethod``).

    The tests check that

    - the value is a finite float for each list, between ``lowest`` and ``highest``,
    - a list's value does not depend on the other lists,
    - only the first k places count, and lists shorter than k are taken,
    - another hit among the first k never lowers the value.
    """

    metric: Metric
    lowest, highest = 0.0, 1.0

    def test_a_finite_number_for_each_list(self) -> None:
        hits, relevant = _lists()
        for part in (hits, hits[:, :3], np.zeros_like(hits)):
            values = self._values(part, relevant)
            assert values.shape == (LISTS,)
            assert np.isfinite(values).all()
            assert (values >= self.lowest).all() and (values <= self.highest).all()

    def test_a_list_does_not_depend_on_the_others(self) -> None:
        hits, relevant = _lists()
        together = self._values(hits, relevant)
        own = [self._values(hits[row : row + 1], relevant[row : row + 1])[0] for row in range(LISTS)]
        np.testing.assert_allclose(own, together)

    def test_only_the_first_k_count(self) -> None:
        hits, relevant = _lists()
        cut = hits.copy()
        cut[:, K:] = False
        np.testing.assert_allclose(self._values(cut, relevant), self._values(hits, relevant))

    def test_another_hit_never_lowers_it(self) -> None:
        hits, _ = _lists()
        relevant = np.full(LISTS, LENGTH)
        for place in range(K):
            more = hits.copy()
            more[:, place] = True
            assert (self._values(more, relevant) >= self._values(hits, relevant) - 1e-12).all()

    def _values(self, hits: NDArray[np.bool_], relevant: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray(type(self).metric(hits, relevant, K), np.float64)


def _lists() -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """hits [LISTS, LENGTH], and at least as many relevant items [LISTS]."""
    rng = np.random.default_rng(0)
    hits = rng.random((LISTS, LENGTH)) < 0.3
    return hits, np.maximum(hits.sum(axis=1) + rng.integers(0, 3, LISTS), 1)
