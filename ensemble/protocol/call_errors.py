"""Errors of calls to Triton, as exceptions of this package with one-line messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from ...core.errors import RequestError, ServerError

Answer = TypeVar("Answer")

OVERLOADED = "more requests wait than serving.max_queue_size allows"
"""The message of a model that refuses requests because too many wait."""
BEING_LOADED = "a release is being loaded, ask again"
"""The message of an ensemble's step while its steps belong to two releases."""

_LONGEST_LINE = 400
_CALLS = re.compile(r"(?:\\n|\s)+At:(?:\\n|\s)+/\S+\(\d+\): [^\";]*")
_ADDED_BY_TRITON = re.compile(r"^(\[request id: [^\]]*\] )?(in ensemble '[^']*', )?")


class NoAnswerError(ServerError):
    """A server took the request and did not answer in time."""


class UnknownModelError(ServerError):
    """The server serves no model of this name."""


def one_line(error: BaseException | str) -> str:
    """The text of an error on one line of at most 400 characters, without the calls that led to it."""
    text = " ".join(without_calls(str(error)).split())
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 3] + "..."


def without_calls(text: str) -> str:
    """The text of an error without the lines of Python code that a stub appends to it; its newlines may be escaped."""
    return _CALLS.sub("", text) if "At:" in text else text  # the search takes long in a long line


def ask_for(call: Callable[[], Answer], url: str) -> Answer:
    """Make a call to Triton and translate its errors.

    Raises:
        RequestError: with the server's message, if it refuses the request.
        ServerError: for any other error, with what to do.
    """
    import tritonclient.grpc as grpc

    try:
        return call()
    except grpc.InferenceServerException as error:
        raise translate(error.status() or "", error.message() or "", url) from error


def translate(status: str, message: str, url: str) -> RequestError | ServerError:
    """The exception for a gRPC status such as ``StatusCode.INVALID_ARGUMENT``."""
    text = one_line(_ADDED_BY_TRITON.sub("", message).split(" NOTE: ")[0])
    match status.removeprefix("StatusCode."):
        case "INVALID_ARGUMENT":
            return RequestError(text)
        case "NOT_FOUND" | "UNAVAILABLE" if "has no available versions" in text:
            return ServerError(
                f"{url}: {text}; it is being started or stopped, or could not be loaded: ask again later, or see the "
                "server's log"
            )
        case "NOT_FOUND":
            return UnknownModelError(f"{url}: {text}; `cascade serve` serves what `cascade run` has exported")
        case "UNAVAILABLE" if OVERLOADED in text:
            return ServerError(f"{url}: overloaded, ask again later: {text}")
        case "UNAVAILABLE" if "Request for unknown model" not in text and BEING_LOADED not in text:
            return ServerError(
                f"{url}: no server answers; start one with `cascade serve`, or give its address (`--url`, or the first "
                f"argument of the client): {text}"
            )
        case "DEADLINE_EXCEEDED":
            return NoAnswerError(f"{url}: no answer in time; see the server's log")
        case _:
            return ServerError(f"{url}: {text}")
