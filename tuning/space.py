"""The search space: what each parameter may be, as Optuna's distributions, and back to values of the config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config.sources import Sources, read_file
from ..config.tune import SHORTHANDS, Dimension, keys_of
from ..core.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DEFAULT = "default_space.yaml"


@dataclass(frozen=True)
class Parameter:
    """One entry of the space."""

    name: str
    """As it is written, and Optuna's name for it; several keys have commas between them."""
    dimension: Dimension
    whole: bool = False
    """range only: its values are integers."""

    @property
    def keys(self) -> list[str]:
        return keys_of(self.name)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        of = self.dimension
        if of.choices is not None:
            return CategoricalDistribution([as_choice(choice) for choice in of.choices])
        assert of.low is not None and of.high is not None
        if self.whole:
            return IntDistribution(int(of.low), int(of.high), log=of.log, step=int(of.step or 1))
        return FloatDistribution(of.low, of.high, log=of.log, step=of.step)

    def value(self, drawn: Any) -> Any:
        """The config's value for what Optuna has drawn."""
        return next((c for c in self.dimension.choices or [] if as_choice(c) == drawn), drawn)

    def ends(self) -> list[Any]:
        """Its choices, or the ends of its range."""
        return self.dimension.choices or [self.dimension.low, self.dimension.high]


@dataclass(frozen=True)
class Space:
    """All parameters of a study."""

    parameters: tuple[Parameter, ...]

    @classmethod
    def of(cls, dimensions: Mapping[str, Dimension]) -> Space:
        """The section ``tune`` as it stands, unchecked."""
        return cls(tuple(Parameter(name, dimension) for name, dimension in dimensions.items()))

    def distributions(self) -> dict[str, BaseDistribution]:
        return {parameter.name: parameter.distribution() for parameter in self.parameters}

    def settings(self, drawn: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Key and value for each parameter in ``drawn``: plain keys, then ``embed_dim``, then ``layers``."""
        found = [(key, p.value(drawn[p.name])) for p in self.parameters if p.name in drawn for key in p.keys]
        return sorted(found, key=lambda setting: _rank(setting[0]))

    def written(self) -> dict[str, Any]:
        """As the section ``tune`` holds it."""
        return {p.name: p.dimension.model_dump(mode="json") for p in self.parameters}


def as_choice(value: Any) -> Any:
    """What Optuna keeps of a choice: numbers and words as they are, lists and mappings as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def read_space(file: Path) -> dict[str, Any]:
    """The space in a file: the section ``tune``, or what would be in it.

    Raises:
        ConfigError: if it cannot be read or holds something else.
    """
    return _section(read_file(file), file)


def default_space() -> dict[str, Any]:
    """The space that is searched where the config names none."""
    file = Path(str(files(__package__) / DEFAULT))
    return _section(read_file(file), file)


def _section(sources: Sources, file: Path) -> dict[str, Any]:
    tree = sources.tree.get("tune", sources.tree)
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(f"{file}: tune: expected keys, each with choices or a range")
    return tree


def _rank(key: str) -> int:
    return 0 if key not in SHORTHANDS else 1 if key.endswith("embed_dim") else 2
