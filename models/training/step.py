"""A compiled training step and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .worker_group import team

if TYPE_CHECKING:
    from .optimizers import Optimizer
    from .weight_average import Average


@dataclass(frozen=True)
class Step:
    """Takes one step on a batch and returns its loss."""

    run: Callable[[Mapping[str, Any]], Any]
    optimizer: Optimizer
    state: Sequence[Any] = ()
    """Variables that it reads and writes beside the model's and the optimizer's; checkpoints hold them too."""
    average: Average | None = None

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        loss = self.run(batch)
        if self.average:
            self.average.step()
        return loss

    def shown(self) -> AbstractContextManager[None]:
        """Meanwhile the model has the weights that count: the average's if there is one."""
        return self.average.shown() if self.average else nullcontext()

    def on(self, part: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Step:
        """One worker's: ``part`` makes its batch of the whole batch; of one alone, the step itself.

        Raises:
            ConfigError: when a batch has fewer queries than there are workers.
        """
        if team().count == 1:
            return self

        def run(batch: Mapping[str, Any]) -> Any:
            if len(batch["user_row"]) < team().count:
                raise ConfigError(
                    f"training.batch_size: a batch has {len(batch['user_row'])} queries for {team().count} workers: "
                    "raise it, or start fewer workers"
                )
            return self.run(part(batch))

        return Step(run, self.optimizer, self.state)

    def variables(self, model: Any) -> list[Any]:
        """All that the next steps depend on, in a fixed order, once a step was taken."""
        from .random_state import state

        average = self.average.variables if self.average else []
        return [*model.variables, *self.optimizer.variables, *self.state, *average, state()]


def traced_once(step: Any) -> Callable[[Mapping[str, Any]], Any]:
    """A compiled step; of several workers, one that is traced for its first batch and any number of rows.

    A collective is numbered when it is traced. If a worker traced again, because its part has another size than the
    last, it would wait for collectives that the others do not know.
    """
    from .._merlin import tf

    traced: list[Any] = []

    def run(batch: Mapping[str, Any]) -> Any:
        # A compiled function takes ten times as long to convert what is not a tensor.
        tensors = {name: tf.convert_to_tensor(values) for name, values in batch.items()}
        if team().count == 1:
            return step(tensors)
        if not traced:
            open_ended = {n: tf.TensorSpec([None, *t.shape[1:]], t.dtype) for n, t in tensors.items()}
            traced.append(step.get_concrete_function(open_ended))
        return traced[0](tensors)

    return run
