"""Errors of calls to Triton."""

import pytest

from cascade.core.errors import RequestError, ServerError
from cascade.ensemble.protocol.call_errors import OVERLOADED, one_line, translate


def test_one_line_has_one_line_of_limited_length():
    assert one_line("a\n  b\tc") == "a b c"
    assert len(one_line("x" * 5000)) == 400


@pytest.mark.parametrize(
    ("status", "message", "kind", "match"),
    [
        ("INVALID_ARGUMENT", "[request id: <id_unknown>] top_k: no. NOTE: long", RequestError, r"^top_k: no\.$"),
        (
            "INVALID_ARGUMENT",
            "[request id: <id_unknown>] in ensemble 'cascade', top_k: no",
            RequestError,
            r"^top_k: no$",
        ),
        (
            "UNAVAILABLE",
            "failed to connect to all addresses",
            ServerError,
            "host:1: no server answers.*cascade serve.*--url",
        ),
        ("UNAVAILABLE", f"{OVERLOADED} (3)", ServerError, "host:1: overloaded, ask again later: more requests wait"),
        ("UNAVAILABLE", "Request for unknown model: 'm' has no available versions", ServerError, "unknown model"),
        ("NOT_FOUND", "Request for unknown model: 'm' is not found", ServerError, "cascade run"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", ServerError, "no answer in time"),
        ("INTERNAL", "boom", ServerError, "^host:1: boom$"),
    ],
)
def test_the_servers_errors_become_ours(status, message, kind, match):
    with pytest.raises(kind, match=match):
        raise translate(f"StatusCode.{status}", message, "host:1")
