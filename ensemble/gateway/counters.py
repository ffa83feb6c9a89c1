"""What the gateway counts, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

REASONS = (
    "malformed",
    "too_large",
    "forbidden",
    "unknown",
    "overload",
    "starting",
    "internal",
    "connections",
    "slow",
)
"""Why requests are refused and connections are ended; all are shown, so that alerts can be written before the first."""


@dataclass
class Counters:
    """The counts of one gateway since its start."""

    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    connections: Callable[[], int] = lambda: 0
    """The number of open connections."""
    max_connections: int = 0

    def text(self) -> str:
        """Prometheus' text format."""
        lines = _head("requests_total", "counter", "HTTP requests that got an answer other than an error")
        lines.append(f"recsys_gateway_requests_total {self.answered}")
        lines += _head("refused_total", "counter", "HTTP requests and connections that were refused, by reason")
        lines += [f'recsys_gateway_refused_total{{reason="{name}"}} {self.refused[name]}' for name in REASONS]
        lines += _head("connections", "gauge", "Open HTTP connections")
        lines.append(f"recsys_gateway_connections {self.connections()}")
        lines += _head("connections_limit", "gauge", "Largest number of open HTTP connections")
        lines.append(f"recsys_gateway_connections_limit {self.max_connections}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP recsys_gateway_{name} {text}", f"# TYPE recsys_gateway_{name} {kind}"]
