"""When a request that failed is sent again: an instance that died fails what it held, and others go on answering."""

from __future__ import annotations

from collections.abc import Iterator

from .call_errors import OVERLOADED

PAUSES_S = (0.1, 0.3, 1.1)
"""Seconds before the second, third and fourth try. A standby takes over within half a second."""
_DIED = "is not healthy"
"""In Triton's INTERNAL error for the requests that an instance held when it died."""
_FULL = (OVERLOADED, "maximum queue size", "too many")


def worth_another_try(status: str, message: str) -> bool:
    """Whether a call that failed may be answered a moment later. A request for recommendations changes nothing in the
    server, so it may be sent twice. A server that is overloaded is left alone.

    Args:
        status: gRPC status, such as ``UNAVAILABLE`` or ``StatusCode.UNAVAILABLE``.
    """
    unavailable = status.removeprefix("StatusCode.") == "UNAVAILABLE" or _DIED in message
    return unavailable and not any(text in message for text in _FULL)


def pauses() -> Iterator[float]:
    """The pauses of one request, in seconds."""
    return iter(PAUSES_S)
