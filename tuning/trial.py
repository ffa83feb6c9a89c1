"""One trial: run a config up to the stage that is measured. This code runs in worker processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.merlin_env import prepare_merlin
from ..models.training.loop import EPOCH_CALLBACK
from ..pipeline.stages import run
from .configure import trial_config
from .metric import StudyMetric
from .outcome import Outcome
from .space import Space
from .study import load

Watch = Callable[[str, int, float], None]
"""Called after each epoch with the model's title, the epoch and its validation score; see `EPOCH_CALLBACK`."""


@dataclass(frozen=True)
class TrialObjective:
    """What every trial of a study shares."""

    given: Mapping[str, Any]
    """The config that trials vary; see `PipelineConfig.given`."""
    space: Space
    metric: StudyMetric
    runs: Path

    def measure(self, drawn: Mapping[str, Any], watch: Watch | None = None) -> Outcome:
        """Run the stages that are not up to date for these values, and read the metric.

        Args:
            drawn: parameter -> value that Optuna has drawn.

        Raises:
            ConfigError: if the values do not work together, or the artifact has no such metric.
        """
        stage = self.metric.stage
        config = trial_config(self.given, self.space, drawn)
        unset_dask_client()
        token = EPOCH_CALLBACK.set(watch)
        try:
            artifact = run(config, self.runs, only=[stage])[stage]
        finally:
            EPOCH_CALLBACK.reset(token)
            _clear_keras()
        return Outcome("complete", self.metric.of(artifact), artifact=f"{stage}/{artifact.path.name}")

    def attempt(self, drawn: Mapping[str, Any], reporter: EpochReporter) -> Outcome:
        """Like `measure`, but errors become outcomes, so that the study goes on."""
        from optuna.exceptions import TrialPruned

        try:
            found = self.measure(drawn, reporter.watch(self.metric.stage))
        except (TrialPruned, ConfigError, FloatingPointError) as error:
            return Outcome("pruned", reason=str(error))
        except Exception as error:  # noqa: BLE001
            return Outcome("fail", reason=f"{type(error).__name__}: {error}")
        if found.value != found.value:
            return Outcome("pruned", reason=f"{self.metric} is not a number", artifact=found.artifact)
        return found


@dataclass(frozen=True)
class EpochReporter:
    """Reports the epochs of one trial to the study's database, from whichever process runs it."""

    url: str
    study: str
    trial_id: int
    pruner: str

    def watch(self, stage: str) -> Watch | None:
        """A function that stores each epoch of ``stage`` and raises TrialPruned if the pruner ends the trial.

        None without a pruner.
        """
        from optuna.exceptions import TrialPruned
        from optuna.trial import Trial

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


def unset_dask_client() -> None:
    """In a Dask worker, keep NVTabular from computing on the worker's own cluster.

    The trial would wait for a thread that it occupies itself.
    """
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


def _clear_keras() -> None:
    """Free the graphs that Keras keeps, which would add up in a process that trains many models."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].keras.backend.clear_session()
