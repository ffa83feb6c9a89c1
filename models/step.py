"""A compiled training step and what it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .optimizers import Optimizer


@dataclass(frozen=True)
class Step:
    """Takes one step on a batch and returns its loss."""

    run: Callable[[Mapping[str, Any]], Any]
    optimizer: Optimizer
    state: Sequence[Any] = ()
    """Variables that it reads and writes beside the model's and the optimizer's; checkpoints hold them too."""

    def __call__(self, batch: Mapping[str, Any]) -> Any:
        return self.run(batch)

    def variables(self, model: Any) -> list[Any]:
        """All that the next steps depend on, in a fixed order, once a step was taken."""
        from .randomness import state

        return [*model.variables, *self.optimizer.variables, *self.state, state()]
