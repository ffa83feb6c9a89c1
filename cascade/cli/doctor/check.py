"""The result of one check, and how results are printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal

Status = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    status: Status
    found: str
    """What is installed or available, for people to read."""
    advice: str = ""
    """What to do; empty if the status is ok."""


def checks_text(checks: Sequence[Check]) -> str:
    """One line for each check."""
    width = max(len(check.name) for check in checks)
    return "\n".join(
        f"{check.status:<4}  {check.name:<{width}}  {check.found}{f' -> {check.advice}' if check.advice else ''}"
        for check in checks
    )


def checks_json(checks: Sequence[Check]) -> str:
    """A JSON list with one object for each check."""
    return json.dumps([asdict(check) for check in checks], indent=2)


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
