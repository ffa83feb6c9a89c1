"""What every loss of the retriever has to hold, as a test class to inherit from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.retriever.losses import EXCLUDED, Loss

QUERIES, SHARED, OWN = 4, 7, 3


class LossContract:
    """Inherit from it and set ``loss`` (wrap a function in ``staticmethod``).

    The tests check that

    - the loss is float32 [B] and finite, with and without negatives of a query's own,
    - a query's loss does not depend on the other queries' logits,
    - it falls as the positive's logit rises, and rises with a negative's,
    - excluded candidates make no difference,
    - the gradient is finite, also for logits of 1000.
    """

    loss: Loss

    def test_a_number_for_each_query(self) -> None:
        for own in (None, _logits(OWN, 1)):
            values = self._values(_logits(SHARED, 0), own)
            assert values.shape == (QUERIES,) and values.dtype == np.float32
            assert np.isfinite(values).all()

    def test_a_query_does_not_depend_on_the_others(self) -> None:
        shared, own = _logits(SHARED, 0), _logits(OWN, 1)
        before = self._values(shared, own)
        shared[1:], own[1:] = _logits(SHARED, 2)[1:], _logits(OWN, 3)[1:]
        np.testing.assert_allclose(self._values(shared, own)[0], before[0], rtol=1e-5)

    def test_a_better_positive_is_a_smaller_loss(self) -> None:
        shared, own = _logits(SHARED, 0), _logits(OWN, 1)
        better = shared + np.eye(QUERIES, SHARED, dtype=np.float32)
        assert (self._values(better, own) < self._values(shared, own)).all()

    def test_a_higher_negative_is_no_smaller_loss(self) -> None:
        shared, own = _logits(SHARED, 0), _logits(OWN, 1)
        before, worse = self._values(shared, own), shared.copy()
        worse[:, -1] += 1
        assert (self._values(worse, own) >= before).all()
        assert (self._values(shared, own + 1) >= before).all()
        assert (self._values(worse, own + 1) > before).any()

    def test_excluded_candidates_make_no_difference(self) -> None:
        shared, own = _logits(SHARED, 0), _logits(OWN, 1)
        wider = [np.concatenate([part, np.full((QUERIES, 2), EXCLUDED, np.float32)], axis=1) for part in (shared, own)]
        np.testing.assert_allclose(self._values(*wider), self._values(shared, own), rtol=1e-5)

    def test_the_gradient_is_finite(self) -> None:
        from ..models._merlin import tf

        for scale in (1, 1000):
            shared, own = (tf.Variable(_logits(width, seed) * scale) for width, seed in ((SHARED, 0), (OWN, 1)))
            with tf.GradientTape() as tape:
                total = tf.reduce_sum(self._called(shared, own))
            for gradient in tape.gradient(total, [shared, own]):
                assert gradient is None or np.isfinite(gradient.numpy()).all()

    def _values(self, shared: NDArray[np.float32], own: NDArray[np.float32] | None) -> NDArray[Any]:
        from ..models._merlin import tf

        found: NDArray[Any] = self._called(tf.constant(shared), None if own is None else tf.constant(own)).numpy()
        return found

    def _called(self, shared: Any, own: Any) -> Any:
        return type(self).loss(shared, own)


def _logits(width: int, seed: int) -> NDArray[np.float32]:
    """[QUERIES, width]."""
    return np.random.default_rng(seed).normal(size=(QUERIES, width)).astype(np.float32)
