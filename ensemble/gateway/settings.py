"""What the parent process tells the gateway: once at the start, and then again and again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MEGABYTE = 1024 * 1024
HTTP_SOCKET, METRICS_SOCKET = "http", "metrics"
"""Names of the sockets on which Triton answers HTTP requests and serves its metrics."""


@dataclass(frozen=True)
class Settings:
    """How one gateway works, given to it at its start."""

    sockets: str
    """Folder with Triton's Unix sockets, see `HTTP_SOCKET` and `METRICS_SOCKET`."""
    control_key: str
    """The key of Triton's control calls."""
    max_body_bytes: int = 64 * MEGABYTE
    """Largest body of a request, also after it is unpacked."""
    max_connections: int | None = None
    """Connections at a time; None takes what the limit of open files allows."""
    request_timeout_s: float = 30.0
    """Seconds that a client has to send a request, and to read its answer."""
    idle_timeout_s: float = 120.0
    """Seconds that a connection may stay open without a request."""
    shared_memory: bool = False
    """Whether clients may register their regions of shared memory."""

    def packed(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpacked(cls, message: bytes) -> Settings:
        return cls(**json.loads(message))


@dataclass(frozen=True)
class ParentState:
    """What the parent process knows and the gateway does not, sent several times a second."""

    ready: bool = True
    """Whether the served model answers, as far as the parent knows."""
    metrics: str = ""
    """Further metrics in Prometheus' text format."""

    def packed(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpacked(cls, message: bytes) -> ParentState:
        return cls(**json.loads(message))
