"""What requests and answers say of arms: the releases that answer some of the users, see `Assignment`."""

from __future__ import annotations

from .inputs import Input

ARM = "arm"
"""Output with the name of the arm that answered."""
ARM_INPUT = Input("ask_arm", "object", default="")
"""Text that names an arm, or ``stable``; empty for the arm that the user is in. It has a name of its own, since no
input of an ensemble can have that of an output."""
CANARY = "canary"
"""Name of the arm that is to become the stable release."""


UNAVAILABLE = ("canary_unavailable", "arm_unavailable")
"""Reasons of an answer that the stable release gives in place of a canary, or of an arm of a test."""


def unavailable(arm: str) -> str:
    """The one of `UNAVAILABLE` for this arm."""
    return UNAVAILABLE[arm != CANARY]
