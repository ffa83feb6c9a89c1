"""pydantic's errors as lines that name the key, its value, what was expected, and where the value was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ..core.suggest import closest

Origins = Mapping[tuple[str, ...], str]


def explain(error: ValidationError, model: type[BaseModel], origins: Origins) -> str:
    """One line for each key that is wrong. A value that may be of several types has one line that names them."""
    found = [(*_place(detail["loc"], model), detail) for detail in error.errors(include_url=False)]
    deep = {names[:union] for names, union, _ in found if union is not None and len(names) > union}
    wrong: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for names, union, detail in found:
        if union is None or len(names) > union or names not in deep:  # what is wrong below says more
            wrong.setdefault(names, []).append(detail)
    return "\n".join(_line(names, details, model, origins) for names, details in wrong.items())


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every dotted key of a model, sections as well as leaves."""
    for name, info in model.model_fields.items():
        key = f"{prefix}{info.alias or name}"
        yield key
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from keys(info.annotation, f"{key}.")


def _place(loc: Sequence[int | str], model: type[BaseModel]) -> tuple[tuple[str, ...], int | None]:
    """The names of a key, without pydantic's names of the types that a value may have.

    Returns:
        The names, and how many of them lead to the last value of several types; None if there is none.
    """
    names: list[str] = []
    union: int | None = None
    kind: Any = model
    for part in loc:
        kinds = _members(kind)
        if len(kinds) > 1:
            union, kind = len(names), next((each for each in kinds if _tagged(each, str(part))), None)
        elif part != "[key]":
            names.append(str(part))
            kind = _below(kinds[0], part)
    return tuple(names), union


def _members(kind: Any) -> list[Any]:
    """The types that a value may have, without None, which pydantic does not count."""
    if get_origin(kind) is Annotated:
        return _members(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [each for each in get_args(kind) if each is not type(None)]
    return [kind]


def _tagged(kind: Any, tag: str) -> bool:
    """Whether pydantic calls a type ``tag``, e.g. ``dict[str,int]``."""
    (kind,) = _members(kind)
    return str(getattr(get_origin(kind) or kind, "__name__", "")).lower() == tag.partition("[")[0].lower()


def _below(kind: Any, part: int | str) -> Any:
    """The type of an entry or a field of a type; None if it is not known."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = ((info.alias or name, info.annotation) for name, info in kind.model_fields.items())
        return next((annotation for name, annotation in fields if name == part), None)
    return next(reversed(get_args(kind)), None)


def _line(names: tuple[str, ...], details: Sequence[ErrorDetails], model: type[BaseModel], origins: Origins) -> str:
    detail = details[0]
    problem = str(detail.get("ctx", {}).get("error")) if detail["type"] == "value_error" else ""
    if match := re.match(r"(\w+): (.*)", problem, re.DOTALL):  # a section's own check names its key first
        names, problem = (*names, match[1]), match[2]
    key = re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", ".".join(names))
    if detail["type"] == "missing":
        problem = "required, and not given"
    elif detail["type"] == "extra_forbidden":
        problem = f"no such key; {_nearest_key(key, model)}"
    elif not problem:
        ways = dict.fromkeys(_expected(each).removeprefix("should be ") for each in details)
        problem = f"is {_short(detail['input'])}, should be {' or '.join(ways)}"
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
