"""The section ``tune``: the keys that `cascade tune` searches, each with choices or a range."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from ..core.section import Section

SHORTHANDS = ("two_tower.embed_dim", "two_tower.layers", "dlrm_ranker.embed_dim", "dlrm_ranker.layers")
"""Names that stand for several keys whose widths depend on each other, see ``cascade.tuning.widths``."""


class Dimension(Section):
    """The values of one key: a list of choices, or a range from ``low`` to ``high``, both included."""

    choices: list[Any] | None = Field(default=None, min_length=1)
    """The values to choose from. A list instead of this mapping means the same. Example: ``[0.001, 0.01]``."""
    low: float | None = None
    """Smallest value of a range. Example: ``0.0001``."""
    high: float | None = None
    """Largest value of a range. Example: ``0.01``."""
    step: float | None = Field(default=None, gt=0)
    """range only: distance between two neighbouring values, counted from ``low``. Example: ``0.001``."""
    log: bool = False
    """range only: whether to draw on a logarithmic scale, on which each order of magnitude is equally likely."""

    @model_validator(mode="before")
    @classmethod
    def _list_is_choices(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {"choices": value}
        if not isinstance(value, Mapping):
            raise ValueError(f"is {value!r}, expected a list of choices, or {{low: ..., high: ...}}")
        return value

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Dimension:
        if self.choices is not None:
            if any(name != "choices" for name in self.model_fields_set):
                raise ValueError("choices: cannot be combined with low, high, step or log")
        elif self.low is None or self.high is None or self.low >= self.high:
            raise ValueError(f"low: must be below high, low is {self.low} and high {self.high}")
        elif self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log: needs low above 0, and no step")
        return self

    @model_serializer
    def _as_written(self) -> Any:
        """The short form, as it is written in the file."""
        if self.choices is not None:
            return self.choices
        numbers = {"low": self.low, "high": self.high, "step": self.step}
        given = {name: int(n) if n.is_integer() else n for name, n in numbers.items() if n is not None}
        return given | ({"log": True} if self.log else {})


def _flat(tree: Any) -> Any:
    """``{two_tower: {loss: [...]}}`` as ``{two_tower.loss: [...]}``. --set and the environment give nested keys."""
    return dict(_leaves(tree, "")) if isinstance(tree, Mapping) else tree


def _leaves(tree: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        nested = isinstance(value, Mapping) and not value.keys() & Dimension.model_fields.keys()
        if nested and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


Dimensions = Annotated[dict[str, Dimension], BeforeValidator(_flat)]
"""Key -> its values. Several keys, separated by commas, always get the same value."""


def keys_of(name: str) -> list[str]:
    """The keys of one entry: ``"a.b, a.c"`` names two."""
    return [key.strip() for key in name.split(",")]
