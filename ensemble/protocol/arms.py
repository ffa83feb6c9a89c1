"""What requests and answers say of arms: the releases that answer some of the users, see `Assignment`."""

from __future__ import annotations

ARM = "arm"
"""Output with the name of the arm that answered."""
CANARY = "canary"
"""Name of the arm that is to become the stable release."""
UNAVAILABLE = ("canary_unavailable", "arm_unavailable")
"""Reasons of an answer that the stable release gives in place of a canary, or of an arm of a test."""


def unavailable(arm: str) -> str:
    """The one of `UNAVAILABLE` for this arm."""
    return UNAVAILABLE[arm != CANARY]
