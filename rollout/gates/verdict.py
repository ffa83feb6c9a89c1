"""What a gate says of a release, and the report of all gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal

State = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class GateVerdict:
    """What one gate says."""

    gate: str
    state: State
    text: str
    """Why, in one sentence."""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """What was measured; each gate says what its figures are."""


@dataclass(frozen=True)
class GateReport:
    """What all gates say."""

    candidate: str
    """Id of the release that is judged."""
    live: str | None
    """Id of the one that it is compared with; None if there is none, and then gates that need one are left out."""
    verdicts: Sequence[GateVerdict]

    @property
    def state(self) -> State:
        """fail if a gate fails, else inconclusive if one is, else pass."""
        states = {verdict.state for verdict in self.verdicts}
        return "fail" if "fail" in states else "inconclusive" if "inconclusive" in states else "pass"

    def of(self, state: State) -> list[str]:
        """The gates that say so."""
        return [verdict.gate for verdict in self.verdicts if verdict.state == state]

    def to_json(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return {
            "candidate": self.candidate,
            "live": self.live,
            "state": self.state,
            "verdicts": [{**asdict(each), "figures": _finite(each.figures)} for each in self.verdicts],
        }


def _finite(figures: Mapping[str, float | None]) -> dict[str, float | None]:
    """The figures with None for NaN and infinity, which JSON has not."""
    return {name: value if value is None or isfinite(value) else None for name, value in figures.items()}


def judged(gate: str, faults: Sequence[str], good: str, figures: Mapping[str, float | None]) -> GateVerdict:
    """fail with the ``faults`` if there are any, else pass with the text ``good``."""
    return GateVerdict(gate, "fail" if faults else "pass", "; ".join(faults) or good, figures)


def unknown(gate: str, why: str, figures: Mapping[str, float | None] | None = None) -> GateVerdict:
    """inconclusive, and why."""
    return GateVerdict(gate, "inconclusive", why, figures or {})
