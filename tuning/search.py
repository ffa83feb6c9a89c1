"""The search loop: ask Optuna for values, run trials with them, and store how they ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .outcome import Outcome
from .study import finish
from .trial import EpochReporter

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import Trial

Attempt = Callable[[Mapping[str, Any], EpochReporter], Outcome]
"""Runs a trial: takes the value of each parameter and where to report epochs; see `TrialObjective.attempt`."""


@dataclass(frozen=True)
class SearchBudget:
    """How many trials a search runs, and for how long."""

    trials: int
    at_once: int = 1
    """Trials that run in parallel."""
    seconds: float | None = None
    """No trial is started after this time. None: no limit."""


def search(
    study: Study,
    distributions: Mapping[str, BaseDistribution],
    attempt: Attempt,
    executor: Executor,
    budget: SearchBudget,
    reporter: Callable[[Trial], EpochReporter],
    on_trial: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Run ``budget.trials`` more trials, ``budget.at_once`` at a time.

    Args:
        distributions: parameter -> distribution to draw its values from.
        reporter: gives each trial the place where its process reports epochs.
        on_trial: called after each trial.
    """
    until = time.monotonic() + budget.seconds if budget.seconds is not None else None
    left, running = budget.trials, dict[Future[Outcome], "Trial"]()
    while left or running:
        while left and len(running) < budget.at_once:
            if until is not None and time.monotonic() >= until:
                left = 0
                break
            trial = study.ask(dict(distributions))
            running[executor.submit(attempt, trial.params, reporter(trial))] = trial
            left -= 1
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            outcome = _outcome(future)
            finish(running.pop(future), outcome)
            on_trial(outcome)


def _outcome(future: Future[Outcome]) -> Outcome:
    """What the trial returned, or a failure if its worker died."""
    try:
        return future.result()
    except Exception as error:
        return Outcome("fail", reason=f"{type(error).__name__}: {error}")
