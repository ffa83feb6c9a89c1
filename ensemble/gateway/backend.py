"""Calls to Triton, in the words of the inference protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from ..protocol.resend import pauses, worth_another_try
from .refusals import Refusal, of_status
from .upstream import NoUpstreamError, Reply, Upstream

KEY_HEADER = "cascade-key"
"""The header in which Triton's HTTP endpoint expects the key of control calls."""
ANSWER_S = 60.0
"""Seconds after which a request to the model counts as unanswered."""
HEALTH_S = 2.0
_MOST_IN_FLIGHT = 4096


class Backend:
    """What the gateway asks Triton.

    Args:
        control_key: for the calls that Triton restricts.
    """

    def __init__(self, upstream: Upstream, control_key: str) -> None:
        self._upstream = upstream
        self._key = {KEY_HEADER: control_key}
        self._in_flight = 0

    async def infer(self, path: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Triton's response; a request that met an instance just as it died is sent again.

        One that was with tritonserver when that died is not: it may be the cause, and would end the next one, too.

        Raises:
            Refusal: with Triton's own words.
        """
        if self._in_flight >= _MOST_IN_FLIGHT:
            raise Refusal(503, "too many requests at a time, ask again later")
        self._in_flight += 1
        try:
            waits = pauses()
            while True:
                try:
                    return await self.ask("POST", path, body, headers)
                except Refusal as refusal:
                    status = "UNAVAILABLE" if refusal.status == 503 else ""
                    if not refusal.again or not worth_another_try(status, refusal.text):
                        raise
                    pause = next(waits, None)
                    if pause is None:  # of Triton it may be a 500, but it is soon replaced
                        reason = refusal.reason if refusal.status == 503 else "starting"
                        raise Refusal(503, refusal.text, reason) from refusal
                await asyncio.sleep(pause)
        finally:
            self._in_flight -= 1

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        control: bool = False,
        timeout: float = ANSWER_S,
    ) -> Reply:
        """Triton's response to one request.

        Args:
            control: whether Triton wants the key for it.

        Raises:
            Refusal: with Triton's own words.
        """
        try:
            reply = await self._upstream.ask(
                method, path, body, {**(headers or {}), **(self._key if control else {})}, timeout=timeout
            )
        except NoUpstreamError as error:
            raise Refusal(503, str(error), error.reason, again=not error.taken) from error
        if reply.status >= 400:
            raise of_status(reply.status, _error(reply.body))
        return reply

    async def holds(self, path: str) -> bool:
        """Whether a health call answers yes, soon."""
        try:
            await self.ask("GET", path, timeout=HEALTH_S)
        except Refusal:
            return False
        return True


def _error(body: bytes) -> str:
    try:
        answer: Any = json.loads(body)
        return str(answer["error"])
    except (ValueError, TypeError, KeyError):
        return "the server refuses the request"
