"""From what a trial has drawn to a config, and the checks that a space gets before the first trial."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..config.checks import conflicts
from ..config.pipeline import PipelineConfig, parsed, validated
from ..config.sources import Sources
from ..config.tune import SHORTHANDS, Dimension, keys_of
from ..core.errors import ConfigError
from ..core.section import Section
from .space import Parameter, Space
from .widths import Setting, expand, follow

ORIGIN = "tune"
LEAST = {"dlrm_ranker.layers": 2}
"""The top's last layer is the logit; every other shorthand is at least 1."""


def configure(given: Mapping[str, Any], settings: Iterable[Setting]) -> Sources:
    """The sources of a config with ``settings`` put in, shorthands spelled out, and widths that follow adapted.

    Args:
        given: `PipelineConfig.given`.
    """
    sources = Sources(copy.deepcopy(dict(given)))
    tuned: list[str] = []
    for key, value in settings:
        spelled = expand(key, value, parsed(sources)) if key in SHORTHANDS else [(key, value)]
        tuned += _put(sources, spelled)
    _put(sources, list(follow(parsed(sources), tuned)))
    return sources


def checked_space(config: PipelineConfig) -> Space:
    """The section ``tune`` as a space whose every value is one that its key takes.

    Raises:
        ConfigError: a value is of the wrong kind, or no value of a key can be used.
    """
    return Space(tuple(_checked(name, dimension, config) for name, dimension in config.tune.items()))


def _checked(name: str, dimension: Dimension, config: PipelineConfig) -> Parameter:
    parameter = Parameter(name, dimension)
    first = parameter.keys[0]
    if any(key in SHORTHANDS for key in keys_of(name)):
        _check_counts(parameter)
        return Parameter(name, dimension, whole=True)
    tried = [_alone(parameter, end, config) for end in parameter.ends()]
    _check_usable(parameter, tried)
    values = [one.value(first) for one in tried]
    if dimension.choices is None:
        _check_numbers(parameter, values)
        return Parameter(name, dimension, whole=all(isinstance(value, int) for value in values))
    canonical = [v if not isinstance(v, Section) else c for v, c in zip(values, dimension.choices, strict=True)]
    return Parameter(name, Dimension.model_validate({"choices": canonical}))


def _alone(parameter: Parameter, value: Any, config: PipelineConfig) -> PipelineConfig:
    """The config with one parameter set; what does not fit together may with the others."""
    return parsed(configure(config.given() | {"tune": {}}, [(key, value) for key in parameter.keys]))


def _check_usable(parameter: Parameter, tried: Sequence[PipelineConfig]) -> None:
    """Some value must be free of conflicts of the key's own, such as a feature that does not exist."""
    own = [[line for line in conflicts(config) if line.startswith(f"{parameter.keys[0]}:")] for config in tried]
    if all(own):
        raise ConfigError("\n".join(f"tune.{line}" for line in own[0]))


def _check_numbers(parameter: Parameter, values: Sequence[Any]) -> None:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise ConfigError(f"tune.{parameter.name}: a range is for numbers, the key holds {values[0]!r}; list choices")


def _check_counts(parameter: Parameter) -> None:
    least = max(LEAST.get(key, 1) for key in parameter.keys)
    if any(key not in SHORTHANDS for key in parameter.keys):
        raise ConfigError(f"tune.{parameter.name}: a shorthand goes with shorthands only")
    for value in parameter.ends():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least or value != int(value):
            raise ConfigError(f"tune.{parameter.name}: holds {value!r}, expected whole numbers from {least} on")


def _put(sources: Sources, settings: Sequence[Setting]) -> list[str]:
    for key, value in settings:
        sources.put(tuple(key.split(".")), value, ORIGIN)
    return [key for key, _ in settings]


def trial_config(given: Mapping[str, Any], space: Space, drawn: Mapping[str, Any]) -> PipelineConfig:
    """The config of one trial, without the section ``tune``.

    Raises:
        ConfigError: its values cannot work together.
    """
    return validated(configure({**given, "tune": {}}, space.settings(drawn)))
