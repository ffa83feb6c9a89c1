"""The results of a study as plain data, for the text table, the HTML report and ``--json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .study import ARTIFACT, BASELINE, REASON

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DONE = ("complete", "pruned", "fail")
"""States of a trial that has ended."""


@dataclass(frozen=True)
class TrialRow:
    """One trial that has ended."""

    number: int
    state: str
    """``complete``, ``pruned`` or ``fail``."""
    value: float | None
    """Of the metric. None if the trial did not complete."""
    params: Mapping[str, Any]
    """Parameter -> value that was drawn."""
    seconds: float | None
    reason: str
    """Why it was pruned or failed."""
    artifact: str
    """``stage/run folder`` of the artifact that was measured."""
    epochs: Mapping[int, float]
    """Epoch -> validation score."""


@dataclass(frozen=True)
class Results:
    """The trials of a study so far."""

    study: str
    metric: str
    maximize: bool
    baseline: float | None
    """The metric of the config before tuning."""
    trials: list[TrialRow]
    importance: Mapping[str, float]
    """Parameter -> share of the metric's variance that it explains, from 0 to 1. Empty with too few trials."""

    @property
    def complete(self) -> list[TrialRow]:
        """Trials with a value."""
        return [trial for trial in self.trials if trial.value is not None]

    @property
    def best(self) -> TrialRow | None:
        """The trial with the best value, the earliest on a tie. None if no trial completed."""
        sign = -1 if self.maximize else 1
        return min(self.complete, key=lambda trial: (sign * float(trial.value or 0), trial.number), default=None)

    def counts(self) -> dict[str, int]:
        return {state: sum(trial.state == state for trial in self.trials) for state in DONE}

    def ranked(self) -> list[TrialRow]:
        """Best first. Trials without a value come last, in the order in which they ran."""
        sign = -1 if self.maximize else 1
        return sorted(self.trials, key=lambda t: (t.value is None, sign * (t.value or 0), t.number))


def results_of(study: Study, metric: str) -> Results:
    """Read the results from the study's database."""
    return Results(
        study=study.study_name,
        metric=metric,
        maximize=study.direction.name == "MAXIMIZE",
        baseline=study.user_attrs.get(BASELINE),
        trials=list(_rows(study.get_trials(deepcopy=False))),
        importance=_importance(study),
    )


def _rows(trials: list[FrozenTrial]) -> Iterator[TrialRow]:
    for trial in trials:
        if trial.state.name.lower() in DONE:
            yield TrialRow(
                number=trial.number,
                state=trial.state.name.lower(),
                value=trial.value if trial.state.name == "COMPLETE" else None,
                params=trial.params,
                seconds=trial.duration.total_seconds() if trial.duration else None,
                reason=trial.user_attrs.get(REASON, "" if trial.state.name == "COMPLETE" else "interrupted"),
                artifact=trial.user_attrs.get(ARTIFACT, ""),
                epochs=trial.intermediate_values,
            )


def _importance(study: Study) -> dict[str, float]:
    """fANOVA (Hutter et al. 2014) over the complete trials. Empty if all have the same value."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    values = {trial.value for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"}
    if len(values) < 2:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
