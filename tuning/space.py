"""The search space: the distribution of each parameter, and the config values of what Optuna draws from it."""

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
    """One entry of the search space."""

    name: str
    """As written in the config, which is also Optuna's name for it. Several keys are separated by commas."""
    dimension: Dimension
    whole: bool = False
    """Whether the values of a range are integers."""

    @property
    def keys(self) -> list[str]:
        return keys_of(self.name)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        domain = self.dimension
        if domain.choices is not None:
            return CategoricalDistribution([as_choice(choice) for choice in domain.choices])
        assert domain.low is not None and domain.high is not None
        if self.whole:
            return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=int(domain.step or 1))
        return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)

    def value(self, drawn: Any) -> Any:
        """The config value of what Optuna has drawn; see `as_choice`."""
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
        """The section ``tune``, unchecked."""
        return cls(tuple(Parameter(name, dimension) for name, dimension in dimensions.items()))

    def distributions(self) -> dict[str, BaseDistribution]:
        return {parameter.name: parameter.distribution() for parameter in self.parameters}

    def settings(self, drawn: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """The keys and values of the parameters in ``drawn``.

        Plain keys come first, then ``embed_dim``, then ``layers``, since a later one depends on those before it.
        """
        found = [(key, p.value(drawn[p.name])) for p in self.parameters if p.name in drawn for key in p.keys]
        return sorted(found, key=lambda setting: _rank(setting[0]))

    def to_json(self) -> dict[str, Any]:
        """In the form of the section ``tune``."""
        return {p.name: p.dimension.model_dump(mode="json") for p in self.parameters}


def as_choice(value: Any) -> Any:
    """A choice as Optuna stores it: scalars unchanged, lists and mappings as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def read_space(file: Path) -> dict[str, Any]:
    """Read a search space from a file that holds either a section ``tune`` or its content.

    Raises:
        ConfigError: if the file cannot be read or holds something else.
    """
    return _section(read_file(file), file)


def default_space() -> dict[str, Any]:
    """The space that is searched if the config has no section ``tune``."""
    file = Path(str(files("cascade.tuning") / DEFAULT))
    return _section(read_file(file), file)


def _section(sources: Sources, file: Path) -> dict[str, Any]:
    tree = sources.tree.get("tune", sources.tree)
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(f"{file}: tune: expected keys, each with choices or a range")
    return tree


def _rank(key: str) -> int:
    """Order of application; see `Space.settings`."""
    return 0 if key not in SHORTHANDS else 1 if key.endswith("embed_dim") else 2
