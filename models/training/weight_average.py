"""The exponential moving average of the weights, used for validation and saved instead of the last step's weights.

With a constant learning rate the weights end up fluctuating around the optimum; their average over many steps is less
noisy (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992). Embeddings gain most,
because each is updated by few rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._merlin import compiled, tf

UPDATES, APART, FEWEST = 20, 4, 5
"""Updates of the average per horizon, steps between two updates at least, and the fewest updates per horizon.

An update passes over all weights; one at every step would take a tenth of the training time and change the average
little, as the weights of a few steps are nearly the same. Of noise that is independent between updates, the average
keeps 16 % (standard deviation) with 20 updates per horizon, 33 % with 5, all of it with one.
"""
WARM_UP = 9
"""The n-th update keeps at most n / (n + WARM_UP) of the average, so that the first steps are soon forgotten."""


class Average:
    """average += (1 - keep) * (weights - average), every few steps.

    Args:
        model: its trainable variables are averaged; they may be created by the first step.
        horizon: steps after which a step's share in the average has fallen to about 1 / e.
    """

    def __init__(self, model: Any, horizon: float) -> None:
        self.model = model
        self.every = steps_between_updates(horizon)
        self.keep = max(0.0, 1 - self.every / horizon)
        with tf.device("CPU"):  # read at every step, without waiting for a GPU
            self.steps = tf.Variable(0, trainable=False, name="averaged_steps", dtype=tf.int64)
        self.means: list[Any] = []
        # XLA makes one pass over the weights instead of three, without copies. On a GPU it needs CUDA's compiler, which
        # not every installation has.
        self._update = compiled(self._updated, jit_compile=not tf.config.list_physical_devices("GPU"))

    @property
    def variables(self) -> list[Any]:
        """Everything that the next steps depend on, in a fixed order."""
        return [self.steps, *self.means]

    def step(self) -> None:
        """To be called after each training step."""
        if not self.means:
            self.means = [tf.Variable(v, trainable=False) for v in self.model.trainable_variables]
        updates, since = divmod(int(self.steps.assign_add(1)), self.every)
        if since == 0:
            self._update(tf.constant(min(self.keep, updates / (updates + WARM_UP)), tf.float32))

    def _updated(self, keep: Any) -> None:
        for mean, variable in zip(self.means, self.model.trainable_variables, strict=True):
            mean.assign_sub((1 - keep) * (mean - variable))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """A context in which the model has the averaged weights."""
        variables = self.model.trainable_variables
        own = [v.read_value() for v in variables]  # not copied: `assign` lets the variables share the means' buffers
        assign(variables, self.means)
        try:
            yield
        finally:
            assign(variables, own)


def steps_between_updates(horizon: float) -> int:
    """Steps from one update of the average to the next; see ``UPDATES``."""
    return max(1, round(min(max(horizon / UPDATES, APART), horizon / FEWEST)))


def assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
