"""What requests and answers say of arms: the releases that answer some of the users, see `Assignment`."""

from __future__ import annotations

from .inputs import Input

ARM = "arm"
"""Output with the name of the arm that answered; also the input that asks for one, where a model has it."""
ARM_INPUT = Input(ARM, "object", default="")
"""Text that names an arm, or ``stable``; empty for the arm that the user is in."""
CANARY = "canary"
"""Name of the arm that is to become the stable release."""


UNAVAILABLE = ("canary_unavailable", "arm_unavailable")
"""Reasons of an answer that the stable release gives in place of a canary, or of an arm of a test."""


def unavailable(arm: str) -> str:
    """The one of `UNAVAILABLE` for this arm."""
    return UNAVAILABLE[arm != CANARY]
