"""The optimizer: Adam with gradient clipping, accumulation, loss scaling, sparse embedding updates, schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._merlin import tf
from ..config import TrainingConfig
from .accumulation import Accumulation
from .worker_group import worker_group


class Optimizer:
    """Keras's Adam with the options of a config's ``training`` section.

    A step sums the gradients over the workers, averages them over ``accumulate`` batches, adds those of
    ``embedding_l2``, clips them to ``clip_norm`` and applies them. Under fp16 the loss is scaled up before it is
    differentiated, and a step with infinite or NaN gradients is skipped (Micikevicius et al., "Mixed precision
    training", 2018).
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.config = config
        self.keras = Adam(config.embedding_optimizer, learning_rate(config))
        if config.precision == "fp16":
            self.keras = tf.keras.mixed_precision.LossScaleOptimizer(self.keras)
        self.accumulation = Accumulation(config.accumulate) if config.accumulate > 1 else None

    @property
    def variables(self) -> list[Any]:
        """Everything that the next steps depend on, in a fixed order."""
        scale = self.keras._loss_scale if self.config.precision == "fp16" else None
        scaling = [scale.current_loss_scale, scale.counter] if scale else []
        return [*self.keras.variables, *scaling, *(self.accumulation.variables if self.accumulation else [])]

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.keras.learning_rate)

    def minimize(self, tape: Any, loss: Any, variables: Sequence[Any]) -> None:
        """Differentiate ``loss``, a float32 scalar recorded by ``tape``, and take a step on ``variables``."""
        gradients = tape.gradient(loss, variables, output_gradients=self._scaled(tf.ones_like(loss)))
        pairs = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        gradients, variables = [g for g, _ in pairs], [v for _, v in pairs]
        if self.config.precision == "fp16":
            gradients = self.keras.get_unscaled_gradients(gradients)
        gradients = worker_group().total(gradients)
        if self.accumulation is None:
            self._apply(gradients, variables)
            return
        with tf.init_scope():
            self.keras.build(variables)  # variables must not be created in the branch that takes the step
        self.accumulation(gradients, variables, lambda mean: self._apply(mean, variables))

    def _scaled(self, one: Any) -> Any:
        return self.keras.get_scaled_loss(one) if self.config.precision == "fp16" else one

    def _apply(self, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        config = self.config
        if config.embedding_l2 or config.clip_norm:
            gradients = [sum_duplicates(g) for g in gradients]
        if config.embedding_l2:
            gradients = [with_l2(g, v, config.embedding_l2) for g, v in zip(gradients, variables, strict=True)]
        if config.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, config.clip_norm)
        self.keras.apply_gradients(zip(gradients, variables, strict=True))


class Adam(tf.keras.optimizers.Adam):
    """Keras's Adam with one pass over each variable, and a choice of the rule for embedding tables.

    Keras's own update makes about ten passes over a table; TensorFlow's fused kernel makes one, and gives the same
    numbers up to rounding (Kingma and Ba, "Adam: a method for stochastic optimization", 2015).

    Args:
        rule: ``adam`` updates every row of a table at every step. ``lazy_adam`` updates a row and its moments only at
            steps whose batch holds it; the bias correction counts all steps.
        rate: a number or a Keras schedule.
    """

    def __init__(self, rule: str, rate: Any) -> None:
        super().__init__(rate, name="Adam")
        self.rule = rule

    def build(self, variables: Sequence[Any]) -> None:
        """Moments of ``variables``, once: Keras numbers the variables anew in each step, and some have no gradient."""
        if not getattr(self, "_built", False):
            super().build(variables)

    def update_step(self, gradient: Any, variable: Any) -> None:
        at = self._index_dict[self._var_key(variable)]
        first, second = self._momentums[at], self._velocities[at]
        if self.rule == "adam" or not isinstance(gradient, tf.IndexedSlices):
            self._adam(tf.convert_to_tensor(gradient), variable, first, second)
        else:
            self._lazy_adam(gradient.values, gradient.indices, variable, first, second)

    def _deduplicate_sparse_grad(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """``adam`` makes the gradient dense, which sums duplicate rows anyway."""
        return gradients if self.rule == "adam" else super()._deduplicate_sparse_grad(gradients)

    def _powers(self) -> tuple[Any, Any]:
        step = tf.cast(self.iterations + 1, tf.float32)
        return tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)

    def _adam(self, gradient: Any, variable: Any, first: Any, second: Any) -> None:
        power_1, power_2 = self._powers()
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.handle,
            v=second.handle,
            beta1_power=power_1,
            beta2_power=power_2,
            lr=tf.cast(self.learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )

    def _lazy_adam(self, values: Any, rows: Any, variable: Any, first: Any, second: Any) -> None:
        power_1, power_2 = self._powers()
        rate = tf.cast(self.learning_rate, tf.float32) * tf.sqrt(1 - power_2) / (1 - power_1)
        m = self.beta_1 * tf.gather(first, rows) + (1 - self.beta_1) * values
        v = self.beta_2 * tf.gather(second, rows) + (1 - self.beta_2) * tf.square(values)
        first.scatter_update(tf.IndexedSlices(m, rows))
        second.scatter_update(tf.IndexedSlices(v, rows))
        variable.scatter_sub(tf.IndexedSlices(rate * m / (tf.sqrt(v) + self.epsilon), rows))


def learning_rate(config: TrainingConfig) -> Any:
    """A constant, or a Keras schedule: linear warm-up from 0, then cosine decay to 0, counted in optimizer steps."""
    schedules = tf.keras.optimizers.schedules
    rate, warmup, decay = config.learning_rate, config.warmup_steps, config.decay_steps
    if decay:
        warm = {"initial_learning_rate": 0.0, "warmup_target": rate, "warmup_steps": warmup}
        return schedules.CosineDecay(decay_steps=decay, **(warm if warmup else {"initial_learning_rate": rate}))
    return schedules.PolynomialDecay(0.0, warmup, rate) if warmup else rate


def sum_duplicates(gradient: Any) -> Any:
    """Sum the rows of a sparse gradient that have the same index, so that its norm is that of the dense gradient."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, which = tf.unique(gradient.indices)
    values = tf.math.unsorted_segment_sum(gradient.values, which, tf.size(rows))
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def with_l2(gradient: Any, variable: Any, weight: float) -> Any:
    """Add the gradient of weight * |row|^2 for each row of a sparse gradient; dense gradients are unchanged."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    values = gradient.values + 2 * weight * tf.gather(variable, gradient.indices)
    return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)
