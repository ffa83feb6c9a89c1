"""Builds the config of a trial from its drawn values, and checks a space before the first trial."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..config.checks import conflicts
from ..config.load import parsed, validated
from ..config.pipeline import PipelineConfig
from ..config.sources import Sources
from ..config.tune import SHORTHANDS, Dimension, keys_of
from ..core.errors import ConfigError
from ..core.section import Section
from .space import Parameter, Space
from .widths import Setting, expand_shorthand, matching_widths

ORIGIN = "tune"
"""Shown as the origin of a tuned value."""
LEAST = {"dlrm_ranker.layers": 2}
"""Smallest value of a shorthand, else 1. The ranker's top network ends in the logit, so it has at least two layers."""


def configure(given: Mapping[str, Any], settings: Iterable[Setting]) -> Sources:
    """The sources of a config with ``settings`` applied.

    Shorthands are replaced by the keys that they stand for, and widths that must match a tuned width are adapted.

    Args:
        given: the config to change, see `PipelineConfig.given`.
        settings: keys and their values.
    """
    sources = Sources(copy.deepcopy(dict(given)))
    tuned: list[str] = []
    for key, value in settings:
        expanded = expand_shorthand(key, value, parsed(sources)) if key in SHORTHANDS else [(key, value)]
        tuned += _put(sources, expanded)
    _put(sources, list(matching_widths(parsed(sources), tuned)))
    return sources


def checked_space(config: PipelineConfig) -> Space:
    """The section ``tune`` as a search space in which every value is valid for its key.

    Raises:
        ConfigError: if a value has the wrong type, or no value of a key can be used.
    """
    return Space(tuple(_checked(name, dimension, config) for name, dimension in config.tune.items()))


def _checked(name: str, dimension: Dimension, config: PipelineConfig) -> Parameter:
    parameter = Parameter(name, dimension)
    first = parameter.keys[0]
    if any(key in SHORTHANDS for key in keys_of(name)):
        _check_counts(parameter)
        return Parameter(name, dimension, whole=True)
    tried = [_with_value(parameter, end, config) for end in parameter.ends()]
    _check_usable(parameter, tried)
    values = [one.value(first) for one in tried]
    if dimension.choices is None:
        _check_numbers(parameter, values)
        return Parameter(name, dimension, whole=all(isinstance(value, int) for value in values))
    canonical = [v if not isinstance(v, Section) else c for v, c in zip(values, dimension.choices, strict=True)]
    return Parameter(name, Dimension.model_validate({"choices": canonical}))


def _with_value(parameter: Parameter, value: Any, config: PipelineConfig) -> PipelineConfig:
    """The config with one parameter set. Conflicts between keys are not checked: other parameters may resolve them."""
    return parsed(configure(config.given() | {"tune": {}}, [(key, value) for key in parameter.keys]))


def _check_usable(parameter: Parameter, tried: Sequence[PipelineConfig]) -> None:
    """Raise if every value has a conflict that names the key itself, such as a feature that does not exist."""
    own = [[line for line in conflicts(config) if line.startswith(f"{parameter.keys[0]}:")] for config in tried]
    if all(own):
        raise ConfigError("\n".join(f"tune.{line}" for line in own[0]))


def _check_numbers(parameter: Parameter, values: Sequence[Any]) -> None:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise ConfigError(f"tune.{parameter.name}: a range needs numbers, the key holds {values[0]!r}; list choices")


def _check_counts(parameter: Parameter) -> None:
    """The values of a shorthand must be whole numbers that are large enough."""
    least = max(LEAST.get(key, 1) for key in parameter.keys)
    if any(key not in SHORTHANDS for key in parameter.keys):
        raise ConfigError(f"tune.{parameter.name}: a shorthand can only be joined with other shorthands")
    for value in parameter.ends():
        if isinstance(value, bool) or not isinstance(value, int | float) or value < least or value != int(value):
            raise ConfigError(f"tune.{parameter.name}: holds {value!r}, expected whole numbers from {least} on")


def _put(sources: Sources, settings: Sequence[Setting]) -> list[str]:
    """Set the values and return their keys."""
    for key, value in settings:
        sources.put(tuple(key.split(".")), value, ORIGIN)
    return [key for key, _ in settings]


def trial_config(given: Mapping[str, Any], space: Space, drawn: Mapping[str, Any]) -> PipelineConfig:
    """The config of one trial, without the section ``tune``.

    Args:
        drawn: parameter -> value that Optuna has drawn.

    Raises:
        ConfigError: if the values do not work together.
    """
    return validated(configure({**given, "tune": {}}, space.settings(drawn)))
