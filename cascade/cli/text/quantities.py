"""Shares and durations as people write them."""

from __future__ import annotations

import re

from ...core.errors import ConfigError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhd]?)")


def share_of(text: str, option: str) -> float:
    """A percentage such as ``5`` or ``0.5%`` as a share from 0 to 1.

    Raises:
        ConfigError: it is no number above 0 and at most 100.
    """
    try:
        percent = float(text.strip().removesuffix("%"))
    except ValueError:
        percent = -1.0
    if not 0 < percent <= 100:
        raise ConfigError(f"{option}: expected a percentage above 0 and at most 100, e.g. 5, got {text!r}")
    return percent / 100


def shares_of(text: str, option: str) -> list[float]:
    """Ascending percentages with commas between them, as shares.

    Raises:
        ConfigError: one is no percentage, or they do not ascend.
    """
    shares = [share_of(part, option) for part in text.split(",")]
    if shares != sorted(set(shares)):
        raise ConfigError(f"{option}: expected ascending percentages, e.g. 1,5,25,50,100, got {text!r}")
    return shares


def seconds_of(text: str, option: str) -> float:
    """A duration such as ``90``, ``90s``, ``10m``, ``2h`` or ``1d`` in seconds.

    Raises:
        ConfigError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"{option}: expected a duration such as 90s, 10m, 2h or 1d, got {text!r}")
    return float(found[1]) * _SECONDS[found[2]]


def percent(share: float) -> str:
    """A share as a percentage, without zeros at its end."""
    return f"{share * 100:.6g} %"


def duration(seconds: float) -> str:
    """Seconds as people read them, e.g. ``2 m 10 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(hours, "h"), (minutes, "m"), (rest, "s")]
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
