"""Checks of the arguments that Python programs pass."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError


def expect(name: str, value: Any, kinds: type | tuple[type, ...], expected: str) -> None:
    """Raise ConfigError, naming the argument, unless ``value`` is an instance of ``kinds``."""
    if not isinstance(value, kinds):
        raise ConfigError(f"{name}: expected {expected}, got {value!r:.60}")


def expect_path(name: str, value: Any) -> None:
    """Raise ConfigError, naming the argument, unless ``value`` is a path or None."""
    if value is not None and (not isinstance(value, (str, Path)) or not str(value)):
        raise ConfigError(f"{name}: expected the path of a folder, got {value!r:.60}")


def expect_positive(name: str, value: Any) -> None:
    """Raise ConfigError, naming the argument, unless ``value`` is an integer from 1 on."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ConfigError(f"{name}: expected a positive integer, got {value!r:.60}")
