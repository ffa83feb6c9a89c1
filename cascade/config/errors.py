"""pydantic's errors as lines that name the key, its value, what was expected, and where the value was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..core.suggest import closest

Origins = Mapping[tuple[str, ...], str]


def explain(error: ValidationError, model: type[BaseModel], origins: Origins) -> str:
    """One line for each error."""
    return "\n".join(_line(detail, model, origins) for detail in error.errors(include_url=False))


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key of a model, sections as well as leaves."""
    for name, info in model.model_fields.items():
        key = f"{prefix}{info.alias or name}"
        yield key
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from keys(info.annotation, f"{key}.")


def _line(detail: ErrorDetails, model: type[BaseModel], origins: Origins) -> str:
    names = tuple(str(part) for part in detail["loc"] if part != "[key]")
    problem = str(detail.get("ctx", {}).get("error")) if detail["type"] == "value_error" else ""
    if match := re.match(r"(\w+): (.*)", problem, re.DOTALL):  # a section's own check names its key first
        names, problem = (*names, match[1]), match[2]
    key = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(names))
    if detail["type"] == "missing":
        problem = "required, and not given"
    elif detail["type"] == "extra_forbidden":
        problem = f"no such key; {_nearest_key(key, model)}"
    elif not problem:
        problem = f"is {_short(detail['input'])}, {_expected(detail)}"
    where = _where(names, origins)
    return f"{key}: {problem} ({where})" if where else f"{key}: {problem}"


def _where(names: tuple[str, ...], origins: Origins) -> str | None:
    """Origin of a key, of the nearest given key above it, or of the first one below it."""
    above = (origins[names[:n]] for n in range(len(names), 0, -1) if names[:n] in origins)
    below = (origin for key, origin in origins.items() if key[: len(names)] == names)
    return next(above, None) or next(below, None)


def _expected(detail: ErrorDetails) -> str:
    """What was expected, from pydantic's message."""
    if detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "should be a mapping of keys"
    expected = detail["msg"].removeprefix("Input ").rstrip(".")
    choices = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
    near = closest(str(detail["input"]), choices)
    return f"{expected}; did you mean {near!r}?" if near else expected


def _nearest_key(key: str, model: type[BaseModel]) -> str:
    """``did you mean ...?``, else the valid keys of the same section."""
    parent, _, name = key.rpartition(".")
    every = list(keys(model))
    siblings = [k.rpartition(".")[2] for k in every if k.rpartition(".")[0] == parent]
    if near := closest(name, siblings):
        return f"did you mean {f'{parent}.{near}' if parent else near}?"
    if elsewhere := [k for k in every if k.rpartition(".")[2] == name]:
        return f"did you mean {elsewhere[0]}?"
    return f"valid here: {', '.join(siblings)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
