"""Requests that get an error for an answer, and which HTTP status it has."""

from __future__ import annotations

import re

from ..protocol.call_errors import one_line

RETRY_AFTER_S = 1
_REGION = re.compile(r"/?(cascade_\d+_|triton_python_backend_shm)[\w-]*")
"""Names of the stubs' regions of shared memory. Who knows one can try to register it (CVE-2025-23319)."""


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        status: the HTTP status.
        text: what was expected, and what came.
        reason: why, in the word that the metrics have for it; by default from the status.
        again: whether the gateway may send the request again.
    """

    def __init__(self, status: int, text: str, reason: str = "", *, again: bool = True) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.again = again
        self.reason = reason or _REASONS.get(status, "malformed")


_REASONS = {403: "forbidden", 404: "unknown", 405: "unknown", 413: "too_large", 500: "internal", 503: "overload"}


def of_status(status: int, text: str) -> Refusal:
    """The refusal for an error of Triton's HTTP endpoint."""
    if status >= 500 and status != 503:
        status = 500 if status == 500 else 400  # 501: Triton does not support what was asked for
    elif status == 499:
        status = 503
    return Refusal(status, public(text))


def public(text: str) -> str:
    """The first line of a text of Triton's, without names of shared memory and without the rest of a traceback."""
    lines = text.strip().splitlines() or [""]
    return one_line(_REGION.sub("(a region)", lines[0]))
