"""A compiled training step, and all the state that it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .rows import WINDOW
from .worker_group import worker_group

if TYPE_CHECKING:
    from .optimizers import Optimizer
    from .weight_average import Average


@dataclass(frozen=True)
class TrainStep:
    """Takes one step on a batch and returns its loss."""

    run: Callable[[Mapping[str, Any]], Any]
    optimizer: Optimizer
    state: Sequence[Any] = ()
    """Further variables that the step changes, for the checkpoints: neither the model's nor the optimizer's."""
    average: Average | None = None
    """Moving average of the weights, updated after each step."""

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        loss = self.run(batch)
        if self.average:
            self.average.step()
        return loss

    def shown(self) -> AbstractContextManager[None]:
        """A context in which the model has the weights to validate and save: the average's, if there is one."""
        return self.average.shown() if self.average else nullcontext()

    def on(self, part: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> TrainStep:
        """The step of one worker of several, on its share of each batch; with a single worker, the step itself.

        Args:
            part: takes a whole batch and returns this worker's share.

        Raises:
            ConfigError: when called with a batch of fewer queries than there are workers.
        """
        if worker_group().count == 1:
            return self

        def run(batch: Mapping[str, Any]) -> Any:
            queries, workers = len(batch["user_row"]), worker_group().count
            if queries < workers:
                raise ConfigError(
                    f"training.batch_size: a batch has {queries} queries for {workers} workers: "
                    "raise it, or start fewer workers"
                )
            return self.run(part(batch))

        return TrainStep(run, self.optimizer, self.state)

    def variables(self, model: Any) -> list[Any]:
        """Everything that the next steps depend on, in a fixed order. Complete after the first step."""
        from .random_state import state

        average = self.average.variables if self.average else []
        return [*model.variables, *self.optimizer.variables, *self.state, *average, state()]


def traced_once(step: Any) -> Callable[[Mapping[str, Any]], Any]:
    """Call a compiled step with tensors; with windows or several workers, trace it only once, for any number of rows.

    Batches of windows differ in their numbers of rows, and each difference would cost another trace. Collectives are
    numbered during tracing: a worker that retraced, because its share of a batch has another size than the last, would
    wait for collectives that the other workers never start.
    """
    from .._merlin import tf

    traced: list[Any] = []

    def run(batch: Mapping[str, Any]) -> Any:
        # Ten times as fast as leaving the conversion to the compiled function.
        tensors = {name: tf.convert_to_tensor(values) for name, values in batch.items()}
        if worker_group().count == 1 and WINDOW not in batch:
            return step(tensors)
        if not traced:
            open_ended = {n: tf.TensorSpec([None, *t.shape[1:]], t.dtype) for n, t in tensors.items()}
            traced.append(step.get_concrete_function(open_ended))
        return traced[0](tensors)

    return run
