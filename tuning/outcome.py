"""The outcome of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, and the value of its metric if it was measured."""

    state: Literal["complete", "pruned", "fail"]
    value: float | None = None
    reason: str = ""
    """Why it was pruned or failed."""
    artifact: str = ""
    """``stage/run folder`` of the artifact that was measured."""
