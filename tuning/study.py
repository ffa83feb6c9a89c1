"""Optuna's study: where it is stored, how it samples and prunes, and what an interrupted one left behind."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from .metric import Direction
    from .trial import Outcome

MEANING = "meaning"
"""Study attribute: what its trials have in common, as JSON."""
BASELINE = "baseline"
REASON, ARTIFACT, INSTEAD_OF = "reason", "artifact", "instead_of"
"""Trial attributes."""
WAIT_SECONDS = 60
"""For another process that writes the sqlite file."""


def open_study(url: str, name: str, direction: Direction, sampler: str, pruner: str, seed: int) -> Study:
    """Make the study, or go on with it; a study that goes on draws other numbers than it began with."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage(url), study_name=name, direction=direction, pruner=make_pruner(pruner), load_if_exists=True
    )
    study.sampler = make_sampler(sampler, seed + len(study.trials))
    return study


def load(url: str, name: str, pruner: str) -> Study:
    """The study as a trial's process sees it."""
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


def check_meaning(study: Study, meaning: Mapping[str, Any]) -> None:
    """The first call says what a study is about; later ones must mean the same.

    Raises:
        ConfigError: it is about something else, so that its trials would not compare.
    """
    now = json.dumps(meaning, sort_keys=True)
    before = study.user_attrs.get(MEANING)
    if before is None:
        study.set_user_attr(MEANING, now)
    elif before != now:
        old = json.loads(before)
        changed = ", ".join(key for key in meaning if meaning[key] != old.get(key))
        raise ConfigError(f"--study {study.study_name}: was made for another {changed}; give a new study a new name")


def finish(trial: Trial, outcome: Outcome) -> None:
    """Store what became of a trial."""
    from optuna.trial import TrialState

    for name, text in ((REASON, outcome.reason), (ARTIFACT, outcome.artifact)):
        if text:
            trial.set_user_attr(name, text)
    state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "fail": TrialState.FAIL}[outcome.state]
    trial.study.tell(trial, outcome.value, state)


def settle(study: Study) -> int:
    """Close the trials that an interrupted run left open, and put their values first in line; returns how many."""
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(INSTEAD_OF) for trial in trials}
    lost = [trial for trial in trials if _is_lost(trial) and trial.number not in again]
    for trial in lost:
        study.enqueue_trial(trial.params, user_attrs={INSTEAD_OF: trial.number})
    return len(lost)


def _is_lost(trial: FrozenTrial) -> bool:
    return trial.state.name == "FAIL" and REASON not in trial.user_attrs and bool(trial.params)


@contextmanager
def only_one(folder: Path, name: str) -> Iterator[None]:
    """One `cascade tune` a study at a time: what another one left open could not be told from what it is doing.

    Raises:
        ConfigError: another process is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"--study {name}: another process is running it; --workers runs trials together"
            ) from None
        yield
