"""What a study has found, as plain data for the table, the page and ``--json``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .study import ARTIFACT, BASELINE, REASON

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DONE = ("complete", "pruned", "fail")


@dataclass(frozen=True)
class TrialRow:
    """One trial that has ended."""

    number: int
    state: str
    """complete, pruned or fail."""
    value: float | None
    """Of the metric; None if it was not measured to the end."""
    params: Mapping[str, Any]
    seconds: float | None
    reason: str
    """Why it was pruned or failed."""
    artifact: str
    """``stage/run folder``."""
    epochs: Mapping[int, float]
    """Epoch -> validation score."""


@dataclass(frozen=True)
class Results:
    """A study so far."""

    study: str
    metric: str
    maximize: bool
    baseline: float | None
    """The metric of the config as it is."""
    trials: list[TrialRow]
    importance: Mapping[str, float]
    """Parameter -> share of the metric's variance that it explains; empty with too few trials."""

    @property
    def complete(self) -> list[TrialRow]:
        return [trial for trial in self.trials if trial.value is not None]

    @property
    def best(self) -> TrialRow | None:
        """The earliest of the best."""
        sign = -1 if self.maximize else 1
        return min(self.complete, key=lambda trial: (sign * float(trial.value or 0), trial.number), default=None)

    def counts(self) -> dict[str, int]:
        return {state: sum(trial.state == state for trial in self.trials) for state in DONE}

    def ranked(self) -> list[TrialRow]:
        """Best first; those without a value at the end, in order."""
        sign = -1 if self.maximize else 1
        return sorted(self.trials, key=lambda t: (t.value is None, sign * (t.value or 0), t.number))


def results_of(study: Study, metric: str) -> Results:
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
    """fANOVA (Hutter et al. 2014) over the complete trials; there must be two that differ in value."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    values = {trial.value for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"}
    if len(values) < 2:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
