"""The metric that a study optimizes: a validation metric of the stage that the searched keys affect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core.artifact import Artifact
from ..core.errors import ConfigError
from ..core.stage import Stage
from ..core.suggest import closest
from ..pipeline.stages import all_stages

Direction = Literal["maximize", "minimize"]

DEFAULTS = {"two_tower": "valid_ndcg", "ranker": "valid_fused"}
"""Stage -> its default metric. The first stage that depends on every key of the space is used."""
PART = "valid_"
"""Prefix of metrics of the validation part, the only ones that may be tuned."""
LESS_IS_BETTER = ("loss", "ece", "rmse", "difference")
"""Words in the name of a metric that is minimized by default."""
FIXED = ("data", "serving.seen")
"""Keys that must not be tuned: with another split, label or choice of items, metrics cannot be compared."""


@dataclass(frozen=True)
class StudyMetric:
    """A metric of a stage, written as ``two_tower.valid_ndcg``."""

    stage: str
    name: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.stage}.{self.name}"

    def of(self, artifact: Artifact) -> float:
        """The metric's value in the artifact's manifest.

        Raises:
            ConfigError: if the stage has no such number.
        """
        value: Any = artifact.metrics
        for part in self.name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, int | float):
            known = [name for name, v in artifact.metrics.items() if name.startswith(PART) and isinstance(v, float)]
            hint = f"it has {', '.join(known)}" if known else "it has none: is there a validation part?"
            raise ConfigError(f"--metric {self}: stage {self.stage} has no such number of the validation part; {hint}")
        return float(value)


def read_metric(text: str, direction: Direction | None = None) -> StudyMetric:
    """Parse ``stage.metric``.

    Args:
        direction: by default it follows from the metric's name.

    Raises:
        ConfigError: if there is no such stage, or the metric is not of the validation part.
    """
    stage, _, name = text.partition(".")
    stages = [s.name for s in all_stages()]
    if stage not in stages:
        near = closest(stage, stages)
        raise ConfigError(f"--metric {text}: no such stage; " + (f"did you mean {near}?" if near else _example()))
    if not name.startswith(PART):
        raise ConfigError(f"--metric {text}: {name or 'nothing'} is not of the validation part; {_example()}")
    less = any(word in name for word in LESS_IS_BETTER)
    return StudyMetric(stage, name, direction or ("minimize" if less else "maximize"))


def default_metric(keys: Iterable[str], direction: Direction | None = None) -> StudyMetric:
    """The default metric of the first stage that depends on all ``keys``.

    Raises:
        ConfigError: if no stage does.
    """
    keys = list(keys)
    for stage, name in DEFAULTS.items():
        if all(affects(key, stage) for key in keys):
            return read_metric(f"{stage}.{name}", direction)
    key = next(key for key in keys if not affects(key, "ranker"))
    raise ConfigError(f"tune.{key}: {_why_not(key, 'ranker')}")


def check_influence(keys: Iterable[str], metric: StudyMetric) -> None:
    """Check that the metric depends on each key.

    Raises:
        ConfigError: with one line for each key that it does not depend on.
    """
    if errors := [f"tune.{key}: {_why_not(key, metric.stage)}" for key in keys if not affects(key, metric.stage)]:
        raise ConfigError("\n".join(errors))


def affects(key: str, stage: str) -> bool:
    """Whether the metrics of ``stage`` may change with ``key``: the stage or one of its ancestors reads it."""
    return not _is_fixed(key) and any(_within(key, s) for s in sections_read(stage))


def sections_read(stage: str, stages: Sequence[Stage] | None = None) -> list[str]:
    """The config sections that a stage and its ancestors read, ancestors first."""
    known = {s.name: s for s in (all_stages() if stages is None else stages)}
    own = known[stage]
    above = [section for parent in own.parents for section in sections_read(parent, list(known.values()))]
    return list(dict.fromkeys([*above, *own.sections]))


def _is_fixed(key: str) -> bool:
    return any(_within(key, fixed) for fixed in FIXED)


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _why_not(key: str, stage: str) -> str:
    if _is_fixed(key):
        return "decides what is measured, so trials could not be compared"
    return f"{stage}'s validation metrics do not depend on it; they do on {', '.join(sections_read(stage))}"


def _example() -> str:
    return "e.g. " + " or ".join(f"{stage}.{name}" for stage, name in DEFAULTS.items())
