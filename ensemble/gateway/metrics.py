"""The metrics endpoint: Triton's metrics, the gateway's, and those that the parent process hands over."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from .backend import HEALTH_S, Backend
from .counters import Counters
from .refusals import RETRY_AFTER_S, Refusal
from .upstream import NoUpstreamError, Upstream

_TRITON_S = 5.0
_TEXT = "text/plain"
_PID = re.compile(r'[{,]pid="(\d+)"')
_INFO = """# HELP recsys_triton_info Version of tritonserver
# TYPE recsys_triton_info gauge
recsys_triton_info{{version="{version}"}} 1
"""


def of_running(text: str) -> str:
    """Metrics without the series of processes that have ended: Triton keeps those of one that was killed for ever."""
    ended = {pid for pid in set(_PID.findall(text)) if not Path(f"/proc/{pid}").exists()}
    if not ended:
        return text
    return "".join(line for line in text.splitlines(True) if not ended.intersection(_PID.findall(line)))


class Metrics:
    """Answers requests for metrics.

    Args:
        triton: Triton's metrics endpoint.
        backend: Triton, to ask for its version.
        more: further metrics in Prometheus' text format.
    """

    def __init__(self, triton: Upstream, counters: Counters, backend: Backend, more: Callable[[], str]) -> None:
        self._triton = triton
        self._counters, self._backend, self._more = counters, backend, more
        self._info = ""

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """All metrics. Without Triton those of the gateway remain, so that its outage can be seen in them."""
        if request.rel_url.raw_path != "/metrics":
            return self.refuse(Refusal(404, "not found; the metrics are at /metrics"))
        if request.method != "GET":
            return self.refuse(Refusal(405, "expected GET"))
        text = await self._of_triton() + await self._version() + self._counters.text() + self._more()
        return web.Response(text=text, content_type=_TEXT)

    def refuse(self, refusal: Refusal) -> web.Response:
        """The response for an error."""
        headers = {"Retry-After": str(RETRY_AFTER_S)} if refusal.status == 503 else None
        return web.Response(text=refusal.text + "\n", status=refusal.status, headers=headers)

    async def _of_triton(self) -> str:
        try:
            answer = await self._triton.ask("GET", "/metrics", timeout=_TRITON_S)
        except NoUpstreamError:
            return ""
        return of_running(answer.body.decode("utf-8", "replace")) if answer.status == 200 else ""

    async def _version(self) -> str:
        """Triton's version as a metric; empty until it has said so once."""
        if not self._info:
            try:
                metadata = json.loads((await self._backend.ask("GET", "/v2", timeout=HEALTH_S)).body)
            except (Refusal, ValueError):
                return ""
            self._info = _INFO.format(version=metadata["version"])
        return self._info
