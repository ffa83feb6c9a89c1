"""The search: ask for values, let somebody measure them, tell what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .study import finish
from .trial import Outcome, Ticket

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import Trial

Attempt = Callable[[Mapping[str, Any], Ticket], Outcome]
"""Values by parameter, and where to report epochs -> what became of it; `Task.attempt`."""


@dataclass(frozen=True)
class Plan:
    """How far a search goes."""

    trials: int
    at_once: int = 1
    seconds: float | None = None
    """After that many no further trial begins."""


def search(
    study: Study,
    distributions: Mapping[str, BaseDistribution],
    attempt: Attempt,
    executor: Executor,
    plan: Plan,
    ticket: Callable[[Trial], Ticket],
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Run ``plan.trials`` more trials, ``plan.at_once`` at a time.

    Args:
        ticket: where a trial's process reports to.
        told: called after each trial.
    """
    until = time.monotonic() + plan.seconds if plan.seconds is not None else None
    left, running = plan.trials, dict[Future[Outcome], "Trial"]()
    while left or running:
        while left and len(running) < plan.at_once:
            if until is not None and time.monotonic() >= until:
                left = 0
                break
            trial = study.ask(dict(distributions))
            running[executor.submit(attempt, trial.params, ticket(trial))] = trial
            left -= 1
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            outcome = _outcome(future)
            finish(running.pop(future), outcome)
            told(outcome)


def _outcome(future: Future[Outcome]) -> Outcome:
    """What a trial returned; a worker that died took its trial along."""
    try:
        return future.result()
    except Exception as error:
        return Outcome("fail", reason=f"{type(error).__name__}: {error}")
