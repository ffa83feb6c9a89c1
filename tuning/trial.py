"""One trial: a config, run through the stages up to the one that is measured. What is here runs in worker processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..core.errors import ConfigError
from ..models.training.loop import WATCH
from ..pipeline.stages import run
from ..workflows.etl.merlin_env import prepare_merlin
from .configure import trial_config
from .metric import Metric
from .space import Space

Watch = Callable[[str, int, float], None]
"""See ``models.fit.WATCH``."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial."""

    state: Literal["complete", "pruned", "fail"]
    value: float | None = None
    reason: str = ""
    """Why it was pruned or failed."""
    artifact: str = ""
    """``stage/run folder`` of what was measured."""


@dataclass(frozen=True)
class Task:
    """What every trial of a study shares."""

    given: Mapping[str, Any]
    """The config that trials vary, see `PipelineConfig.given`."""
    space: Space
    metric: Metric
    runs: Path

    def measure(self, drawn: Mapping[str, Any], watch: Watch | None = None) -> Outcome:
        """Run what is missing for these values, and read the metric.

        Raises:
            ConfigError: the values do not fit together, or the metric is not there.
        """
        stage = self.metric.stage
        config = trial_config(self.given, self.space, drawn)
        keep_off_the_cluster()
        token = WATCH.set(watch)
        try:
            artifact = run(config, self.runs, only=[stage])[stage]
        finally:
            WATCH.reset(token)
            _forget_graphs()
        return Outcome("complete", self.metric.of(artifact), artifact=f"{stage}/{artifact.path.name}")

    def attempt(self, drawn: Mapping[str, Any], ticket: Ticket) -> Outcome:
        """``measure``, with what goes wrong as an outcome: a study goes on where one combination fails."""
        from optuna.exceptions import TrialPruned

        try:
            found = self.measure(drawn, ticket.watch(self.metric.stage))
        except (TrialPruned, ConfigError, FloatingPointError) as error:
            return Outcome("pruned", reason=str(error))
        except Exception as error:  # noqa: BLE001
            return Outcome("fail", reason=f"{type(error).__name__}: {error}")
        if found.value != found.value:
            return Outcome("pruned", reason=f"{self.metric} is not a number", artifact=found.artifact)
        return found


@dataclass(frozen=True)
class Ticket:
    """Where a trial reports its epochs: any process can open it."""

    url: str
    study: str
    trial_id: int
    pruner: str

    def watch(self, stage: str) -> Watch | None:
        """Store each epoch of ``stage`` and end the trial when the pruner says so; None without a pruner."""
        from optuna.exceptions import TrialPruned
        from optuna.trial import Trial

        from .study import load

        if self.pruner == "none":
            return None
        trial = Trial(load(self.url, self.study, self.pruner), self.trial_id)

        def report(title: str, epoch: int, score: float) -> None:
            if title != stage:
                return
            trial.report(score, epoch)
            if trial.should_prune():
                raise TrialPruned(f"epoch {epoch}: {score:.4f} is behind earlier trials")

        return report


def keep_off_the_cluster() -> None:
    """In a Dask worker, NVTabular would compute on the worker's own cluster: the trial would wait for a thread that it
    holds itself."""
    if "distributed" not in sys.modules:
        return
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return
    prepare_merlin()
    from merlin.core.utils import set_dask_client

    set_dask_client(None)


def _forget_graphs() -> None:
    """Keras keeps what it has built; a process that trains many models must not."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].keras.backend.clear_session()
