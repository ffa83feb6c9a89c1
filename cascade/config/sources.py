"""Sources of config values: the YAML file, ``--set`` and the environment. Each leaf remembers its origin."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from ..core.errors import ConfigError

Keys = tuple[str, ...]
Origins = dict[Keys, str]

PREFIX = "CASCADE_"
SEPARATOR = "__"
"""Separates the names of a key. Variables without it, such as CASCADE_CONFIG, are not config keys."""


@dataclass
class Sources:
    """Nested values, and the origin of each leaf."""

    tree: dict[Any, Any] = field(default_factory=dict)
    origins: Origins = field(default_factory=dict)

    def _written(self, path: Keys) -> Keys:
        """``path`` with the spelling of keys that exist already, because an environment variable's name has no case."""
        node: Any = self.tree
        spelled: list[str] = []
        for name in path:
            have = node if isinstance(node, dict) else {}
            same = (k for k in have if isinstance(k, str) and k.lower() == name.lower())
            spelled.append(name if name in have else next(same, name))
            node = have.get(spelled[-1])
        return tuple(spelled)

    def put(self, path: Keys, value: Any, origin: str) -> None:
        """Set ``path`` to ``value``; a mapping replaces the previous one as a whole."""
        path = self._written(path)
        node = self.tree
        for name in path[:-1]:
            if not isinstance(node.get(name), dict):
                node[name] = {}
            node = node[name]
        node[path[-1]] = value
        self.origins = {k: v for k, v in self.origins.items() if k[: len(path)] != path and path[: len(k)] != k}
        self.origins |= {(*path, *leaf): origin for leaf in _leaves(value)}

    def override(self, values: Sequence[tuple[Keys, Any, str]]) -> None:
        """Put every ``(path, value, origin)``, later ones over earlier ones."""
        for path, value, origin in values:
            self.put(path, value, origin)


def _leaves(value: Any) -> Iterator[Keys]:
    """Paths of the leaves below ``value``; the empty path for a plain value."""
    if isinstance(value, dict) and value:
        yield from ((str(name), *leaf) for name in value for leaf in _leaves(value[name]))
    else:
        yield ()


def read_file(path: Path) -> Sources:
    """Read a YAML file.

    Raises:
        ConfigError: the file is missing, has a syntax error (with its line), gives a key twice, or is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
        lines = dict(_lines(node, path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: byte {error.start}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_place(error)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply, or a section holds itself") from None
    if not isinstance(tree, dict):
        found = "nothing" if tree is None else f"a {type(tree).__name__}"
        raise ConfigError(f"{path}: expected sections such as schema and data, found {found}")
    return Sources(tree, lines)


def read_sets(sets: Sequence[str]) -> list[tuple[Keys, Any, str]]:
    """``a.b=value`` -> path, value parsed as YAML, origin.

    Raises:
        ConfigError: a text is not ``key=value``, or its value is not YAML.
    """
    values = []
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {text}: expected key=value, e.g. --set serving.ann.topk=300")
        values.append((tuple(key.strip().split(".")), _value(value, f"--set {key}"), "--set"))
    return values


def read_mapping(values: Mapping[str, Any], above: Keys = ()) -> list[tuple[Keys, Any, str]]:
    """``{"serving.ann": {"topk": 300}}`` -> path, value, origin; a nested mapping leaves the keys beside its own alone.

    Raises:
        ConfigError: a key is not text, or has an empty part.
    """
    found: list[tuple[Keys, Any, str]] = []
    for key, value in values.items():
        if not isinstance(key, str) or not all(key.split(".")):
            raise ConfigError(f"overrides: {key!r} is no key, expected e.g. serving.ann.topk")
        path = (*above, *key.split("."))
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if isinstance(value, Mapping) and value:
            found += read_mapping(value, path)
        else:
            found.append((path, os.fspath(value) if isinstance(value, Path) else value, "overrides"))
    return found


def read_environment(environ: Mapping[str, str]) -> list[tuple[Keys, Any, str]]:
    """``CASCADE_SERVING__ANN__TOPK=300`` -> path, value parsed as YAML, origin.

    Raises:
        ConfigError: a value is not YAML.
    """
    values = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and SEPARATOR in name:
            path = tuple(name.removeprefix(PREFIX).lower().split(SEPARATOR))
            values.append((path, _value(environ[name], name), f"environment {name}"))
    return values


def _value(text: str, what: str) -> Any:
    """A value parsed as in the file, except that ``|`` and ``>`` are plain characters, not the start of a block."""
    if text[:1] in ("|", ">"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{what}: {text!r} is not YAML{_place(error)}") from None


def _place(error: yaml.YAMLError) -> str:
    """``:line: problem (column)`` of a YAML error."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    return f":{mark.line + 1}: {problem} (column {mark.column + 1})" if mark else f": {problem}"


def _lines(node: yaml.Node | None, file: Path, path: Keys = ()) -> Iterator[tuple[Keys, str]]:
    """Path and ``file:line`` of every leaf."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        if node is not None and path:
            yield path, f"{file}:{node.start_mark.line + 1}"
        return
    seen: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in seen:
            where = ".".join((*path, key.value))
            raise ConfigError(f"{file}:{line}: {where} is given twice, first in line {seen[key.value]}")
        seen[key.value] = line
        yield from _lines(value, file, (*path, key.value))
