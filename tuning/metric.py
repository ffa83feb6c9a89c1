"""What a study optimizes: a metric of the validation part, of the stage that the space touches."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..core.artifact import Artifact
from ..core.errors import ConfigError
from ..core.stage import Stage
from ..pipeline.stages import all_stages

Direction = Literal["maximize", "minimize"]

DEFAULTS = {"two_tower": "valid_ndcg", "ranker": "valid_fused"}
"""Stage -> its metric; the first stage that reads everything in the space is taken."""
PART = "valid_"
LESS_IS_BETTER = ("loss", "ece", "rmse", "difference")
MEASURES_ITSELF = ("data",)
"""Sections that decide what is measured: with another split or label, figures would not compare."""


@dataclass(frozen=True)
class Metric:
    """``two_tower.valid_ndcg``."""

    stage: str
    name: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.stage}.{self.name}"

    def of(self, artifact: Artifact) -> float:
        """Its value in a manifest.

        Raises:
            ConfigError: the stage has no such number.
        """
        value: Any = artifact.metrics
        for part in self.name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not isinstance(value, int | float):
            there = [name for name, v in artifact.metrics.items() if name.startswith(PART) and isinstance(v, float)]
            said = f"it has {', '.join(there)}" if there else "it has none: is there a validation part?"
            raise ConfigError(f"--metric {self}: stage {self.stage} has no such number of the validation part; {said}")
        return float(value)


def read_metric(text: str, direction: Direction | None = None) -> Metric:
    """``stage.metric``.

    Raises:
        ConfigError: no such stage, or not of the validation part.
    """
    stage, _, name = text.partition(".")
    stages = [s.name for s in all_stages()]
    if stage not in stages:
        near = difflib.get_close_matches(stage, stages, n=1)
        raise ConfigError(f"--metric {text}: no such stage; " + (f"did you mean {near[0]}?" if near else _example()))
    if not name.startswith(PART):
        raise ConfigError(f"--metric {text}: {name or 'nothing'} is not of the validation part; {_example()}")
    less = any(word in name for word in LESS_IS_BETTER)
    return Metric(stage, name, direction or ("minimize" if less else "maximize"))


def default_metric(keys: Iterable[str], direction: Direction | None = None) -> Metric:
    """Of the first stage that depends on all ``keys``.

    Raises:
        ConfigError: if there is none.
    """
    keys = list(keys)
    for stage, name in DEFAULTS.items():
        if all(is_read(key, stage) for key in keys):
            return read_metric(f"{stage}.{name}", direction)
    lost = next(key for key in keys if not is_read(key, "ranker"))
    raise ConfigError(f"tune.{lost}: {_why_not(lost, 'ranker')}")


def check_influence(keys: Iterable[str], metric: Metric) -> None:
    """Each key must have something to say in the metric.

    Raises:
        ConfigError: one line for each that has not.
    """
    if lost := [f"tune.{key}: {_why_not(key, metric.stage)}" for key in keys if not is_read(key, metric.stage)]:
        raise ConfigError("\n".join(lost))


def is_read(key: str, stage: str) -> bool:
    """Whether ``stage`` or one that it is made from reads ``key``, so that its metrics may change with it."""
    return key.partition(".")[0] not in MEASURES_ITSELF and any(_within(key, s) for s in sections_read(stage))


def sections_read(stage: str, stages: Sequence[Stage] | None = None) -> list[str]:
    """The sections of a stage and of all that it is made from."""
    known = {s.name: s for s in (all_stages() if stages is None else stages)}
    own = known[stage]
    above = [section for parent in own.parents for section in sections_read(parent, list(known.values()))]
    return list(dict.fromkeys([*above, *own.sections]))


def _within(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def _why_not(key: str, stage: str) -> str:
    if key.partition(".")[0] in MEASURES_ITSELF:
        return "decides what is measured, so trials would not compare"
    return f"{stage}'s validation metrics do not depend on it; they do on {', '.join(sections_read(stage))}"


def _example() -> str:
    return "e.g. " + " or ".join(f"{stage}.{name}" for stage, name in DEFAULTS.items())
