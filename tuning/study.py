"""Optuna's study: storage, sampler, pruner, and recovery after an interruption."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from .outcome import Outcome

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from .metric import Direction

SETUP = "meaning"
"""Study attribute: the metric, space and config that all its trials share, as JSON."""
BASELINE = "baseline"
"""Study attribute: the metric of the config before tuning."""
REASON, ARTIFACT, INSTEAD_OF = "reason", "artifact", "instead_of"
"""Trial attributes: why it ended early, what was measured, and the interrupted trial that it repeats."""
WAIT_SECONDS = 60
"""How long to wait for another process that is writing to the sqlite file."""


def open_study(url: str, name: str, direction: Direction, sampler: str, pruner: str, seed: int) -> Study:
    """Create the study, or load it if it exists. The seed is offset by its trials, so a resumed study draws new values.

    Args:
        url: of the database, as SQLAlchemy takes it.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage(url), study_name=name, direction=direction, pruner=make_pruner(pruner), load_if_exists=True
    )
    study.sampler = make_sampler(sampler, seed + len(study.trials))
    return study


def load(url: str, name: str, pruner: str) -> Study:
    """An existing study, for the process that runs one of its trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=name, storage=storage(url), pruner=make_pruner(pruner))


def storage(url: str) -> RDBStorage:
    from optuna.storages import RDBStorage

    wait = {"connect_args": {"timeout": WAIT_SECONDS}} if url.startswith("sqlite") else {}
    return RDBStorage(url, engine_kwargs=wait)


def make_sampler(name: str, seed: int) -> BaseSampler:
    """``tpe`` (Bergstra et al. 2011) or ``random``."""
    from optuna.samplers import RandomSampler, TPESampler

    return RandomSampler(seed) if name == "random" else TPESampler(seed=seed)


def make_pruner(name: str) -> BasePruner:
    """``median`` of earlier trials at the same epoch, ``halving`` (Li et al. 2018, asynchronous), or ``none``."""
    from optuna.pruners import MedianPruner, NopPruner, SuccessiveHalvingPruner

    pruners: dict[str, BasePruner] = {"median": MedianPruner(), "halving": SuccessiveHalvingPruner()}
    return pruners.get(name, NopPruner())


def check_setup(study: Study, setup: Mapping[str, Any]) -> None:
    """Store the setup in a new study; in an existing one, require that it is the same.

    Raises:
        ConfigError: if it differs, since trials of different setups cannot be compared.
    """
    now = json.dumps(setup, sort_keys=True)
    before = study.user_attrs.get(SETUP)
    if before is None:
        study.set_user_attr(SETUP, now)
    elif before != now:
        old = json.loads(before)
        changed = ", ".join(key for key in setup if setup[key] != old.get(key))
        raise ConfigError(f"--study {study.study_name}: was made for another {changed}; give a new study a new name")


def finish(trial: Trial, outcome: Outcome) -> None:
    """Store the outcome of a trial."""
    from optuna.trial import TrialState

    for name, text in ((REASON, outcome.reason), (ARTIFACT, outcome.artifact)):
        if text:
            trial.set_user_attr(name, text)
    state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL}[outcome.state]
    trial.study.tell(trial, outcome.value, state)


def requeue_interrupted(study: Study) -> int:
    """Mark trials that an interrupted run left open as failed, and enqueue their values to be tried next.

    Returns:
        How many trials were enqueued. Calling it again enqueues none of them twice.
    """
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(INSTEAD_OF) for trial in trials}
    interrupted = [trial for trial in trials if _was_interrupted(trial) and trial.number not in again]
    for trial in interrupted:
        study.enqueue_trial(trial.params, user_attrs={INSTEAD_OF: trial.number})
    return len(interrupted)


def _was_interrupted(trial: FrozenTrial) -> bool:
    """A trial that failed by itself has a reason."""
    return trial.state.name == "FAIL" and REASON not in trial.user_attrs and bool(trial.params)


@contextmanager
def study_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold the study's lock, so that its open trials can only be those of this process.

    Raises:
        ConfigError: if another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"--study {name}: another process is running it; --workers runs trials in parallel"
            ) from None
        yield
