"""Types and defaults of config fields, as the configuration reference says them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cascade.core.extensible import NameOf
from cascade.core.section import Section

PLAIN = {int: "integer", float: "number", bool: "boolean", str: "string"}
LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def section_of(annotation: Any) -> type[Section] | None:
    """The section class that a field holds, if it holds one."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def held_sections(annotation: Any) -> type[Section] | None:
    """``S`` of a mapping ``dict[str, S]`` or a list ``list[S]`` of sections."""
    inner = get_args(annotation) if get_origin(annotation) in (dict, list) else ()
    return section_of(inner[-1]) if inner else None


def type_text(info: FieldInfo) -> str:
    """For example ``integer, at least 1``."""
    return _with_limits(info.annotation, info.metadata)


def default_text(info: FieldInfo) -> str:
    """The default as the file would hold it, or that there is none."""
    if info.is_required():
        return "none, required"
    value = info.get_default(call_default_factory=True)
    return "`null`" if value is None else f"`{json.dumps(value, default=_plain, ensure_ascii=False).strip(chr(34))}`"


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def _with_limits(annotation: Any, metadata: list[Any]) -> str:
    limits = [f"{word} {getattr(m, name):,}" for m in metadata for name, word in LIMITS.items() if hasattr(m, name)]
    least = [f"at least {m.min_length} of them" for m in metadata if getattr(m, "min_length", None)]
    names = [_names(m) for m in metadata if isinstance(m, NameOf)]
    kind, null = _without_null(annotation)
    return ", ".join([*(names or [_type(kind)]), *limits, *least]) + (
        f"{',' if limits or least or names else ''} or null" if null else ""
    )


def _names(extension: NameOf) -> str:
    return f"one of {_listed(extension.built_in)}, or a registered {extension.kind}"


def _without_null(annotation: Any) -> tuple[Any, bool]:
    """``T | None`` as T, and whether it was that."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation, False
    kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
    return Union[tuple(kinds)], len(kinds) < len(get_args(annotation))  # noqa: UP007, for a tuple of unknown length


def _type(annotation: Any) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if origin is Literal:
        return f"one of {_listed(inner)}"
    if origin in (Union, UnionType):
        return " or ".join(_type(kind) for kind in inner)
    if origin is Annotated:
        return _with_limits(inner[0], _metadata(inner[1:]))
    if origin is list:
        return f"list of {_plural(_type(inner[0]))}"
    if origin is dict:
        return f"mapping of name to {_type(inner[1])}"
    return "section" if section_of(annotation) else "anything"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _metadata(extras: tuple[Any, ...]) -> list[Any]:
    """Limits of an annotation, those within ``Field(...)`` too."""
    return [m for extra in extras for m in (extra.metadata if isinstance(extra, FieldInfo) else [extra])]


def _plural(kind: str) -> str:
    words = {
        "integer": "integers",
        "number": "numbers",
        "string": "strings",
        "anything": "values",
        "section": "sections",
    }
    if kind.startswith("list of "):
        return f"lists of {kind.removeprefix('list of ')}"
    return words.get(kind, f"values, each {kind}")
