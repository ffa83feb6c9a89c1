"""A moving average of the weights: what a training is judged by and leaves behind, in the place of its last step's.

Steps of a constant size end in noise around the optimum, of which the average of many steps has less (Polyak and
Juditsky, "Acceleration of stochastic approximation by averaging", 1992). Embeddings gain most: few rows of a batch move
each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._merlin import tf

MOVES, APART, FEWEST = 20, 4, 5
"""Moves of the average in a horizon. Where they would be less than ``APART`` steps from each other they are fewer, down
to ``FEWEST``: a move passes over all weights, which at every step is a tenth of the training, and tells the average
little, as the weights of a few steps are nearly the same. What is new at every move, an average over 20 of them in a
horizon keeps 16 % of, over 5 33 %, over one all.
"""
SOONER = 9
"""The n-th move keeps n / (n + SOONER) at most, so that the first steps do not stay in the average for long."""


class Average:
    """average += (1 - keep) (weights - average), every few steps.

    Args:
        model: its trainable variables are averaged; they need not exist before the first step.
        horizon: steps after which a step's share of the average has fallen to 1 / e, about.
    """

    def __init__(self, model: Any, horizon: float) -> None:
        self.model = model
        self.every = between_moves(horizon)
        self.keep = max(0.0, 1 - self.every / horizon)
        with tf.device("CPU"):  # read at every step, which must not wait for a GPU
            self.steps = tf.Variable(0, trainable=False, name="averaged_steps", dtype=tf.int64)
        self.means: list[Any] = []
        # In XLA a single pass over the weights in the place of three, and no copies; a GPU has its own compiler for it,
        # which not every installation brings along.
        self._move = tf.function(self._moved, jit_compile=not tf.config.list_physical_devices("GPU"))

    @property
    def variables(self) -> list[Any]:
        """All that the next steps depend on, in a fixed order."""
        return [self.steps, *self.means]

    def step(self) -> None:
        """To be called after each step of the training."""
        if not self.means:
            self.means = [tf.Variable(v, trainable=False) for v in self.model.trainable_variables]
        moves, since = divmod(int(self.steps.assign_add(1)), self.every)
        if since == 0:
            self._move(tf.constant(min(self.keep, moves / (moves + SOONER)), tf.float32))

    def _moved(self, keep: Any) -> None:
        for mean, variable in zip(self.means, self.model.trainable_variables, strict=True):
            mean.assign_sub((1 - keep) * (mean - variable))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Meanwhile the model has the average's weights."""
        variables = self.model.trainable_variables
        own = [v.read_value() for v in variables]  # no copies: they keep their memory, variables get the means'
        assign(variables, self.means)
        try:
            yield
        finally:
            assign(variables, own)


def between_moves(horizon: float) -> int:
    """Steps from one move of the average to the next."""
    return max(1, round(min(max(horizon / MOVES, APART), horizon / FEWEST)))


def assign(variables: list[Any], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
