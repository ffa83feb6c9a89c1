"""The paths of the HTTP endpoint: those of the inference protocol that clients need, and a refusal for the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote
from zlib import compressobj

from aiohttp import web

from .backend import Backend
from .body import BodyMemory, read_body
from .connections import Connection
from .counters import Counters
from .infer_request import read_request
from .refusals import RETRY_AFTER_S, Refusal
from .settings import Settings
from .shared_memory import check_key

LENGTH_HEADER = "Inference-Header-Content-Length"
_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([0-9]{1,19}))?(?:/(infer|ready|config|stats))?")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_REGION = re.compile(r"/v2/systemsharedmemory(/region/[A-Za-z0-9_.-]{1,200})?/(status|register|unregister)")
_CONTROL = re.compile(
    r"/v2/(repository/models/.*|cudasharedmemory/.*|systemsharedmemory/.*|trace/.*|logging|models/.*/trace/setting)"
)
_BODIES_AT_A_TIME = 8
"""Bodies of the largest size that may be held at a time."""
_WORTH_PACKING = 1024
"""Bytes from which on an answer is compressed for clients that accept it."""
_WINDOW = {"gzip": 31, "deflate": 15}
_CODINGS = re.compile(r"([\w*-]+)\s*(?:;\s*q=([01](?:\.[0-9]*)?))?")
"""Of the header Accept-Encoding: the name of a coding and its weight; 0 is never."""

Answer = web.Response
Act = Callable[[web.BaseRequest, str], Awaitable[Answer]]


class Api:
    """Answers HTTP requests. What Triton is asked is written here, never handed on.

    Args:
        backend: Triton.
        ready: whether the served model answers, as far as the parent process knows.
    """

    def __init__(self, settings: Settings, backend: Backend, counters: Counters, ready: Callable[[], bool]) -> None:
        self._settings, self._backend, self._counters, self._ready = settings, backend, counters, ready
        self._memory = BodyMemory(_BODIES_AT_A_TIME * settings.max_body_bytes)
        self._fixed: dict[str, tuple[str, Act]] = {
            "/v2": ("GET", self._get),
            "/v2/health/live": ("GET", self._live),
            "/v2/health/ready": ("GET", self._ready_now),
            "/v2/models/stats": ("GET", self._get),
            "/v2/repository/index": ("POST", self._index),
        }

    async def handle(self, request: web.BaseRequest) -> Answer:
        """The answer to any request; an error for what is wrong with it."""
        try:
            act, path = self._route(request)
            answer = await act(request, path)
        except Refusal as refusal:
            return self.refuse(refusal)
        self._counters.answered += 1
        return answer

    def refuse(self, refusal: Refusal) -> Answer:
        """The response for an error, and a count of it."""
        self._counters.refused[refusal.reason] += 1
        answer = _json({"error": refusal.text}, refusal.status)
        if refusal.status == 503:
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        return answer

    def _route(self, request: web.BaseRequest) -> tuple[Act, str]:
        """What answers a request, and the path to ask Triton for.

        Raises:
            Refusal: if nothing does.
        """
        path = request.rel_url.raw_path.rstrip("/")
        if path in self._fixed:
            method, act = self._fixed[path]
        elif (found := _MODEL.fullmatch(path)) is not None:
            method, act = "GET", self._get
            if found[3] == "infer":
                method, act = "POST", self._infer
            elif found[3] == "ready":
                act = self._ready_now
            path = _model_path(*found.groups())
        elif (found := _REGION.fullmatch(path)) is not None:
            if not self._settings.shared_memory:
                raise Refusal(403, "shared memory is off, see server.shared_memory")
            method, act = "GET" if found[2] == "status" else "POST", self._regions
        elif _CONTROL.fullmatch(path):
            raise Refusal(403, f"{path[:200]}: control calls are restricted to the process that serves")
        else:
            raise Refusal(404, f"{path[:200]}: not found")
        if request.method != method:
            raise Refusal(405, f"{path[:200]}: expected {method}, got {request.method[:20]}")
        if method == "GET":
            _received(request)
        return act, path

    async def _infer(self, request: web.BaseRequest, path: str) -> Answer:
        with self._memory.share() as share:
            body = await read_body(request, self._settings.max_body_bytes, share)
            _received(request)
            checked = read_request(body, _header_length(request), shared_memory=self._settings.shared_memory)
            headers = {LENGTH_HEADER: str(len(checked.header))}
            reply = await self._backend.infer(path, checked.body, headers)
        length = reply.headers.get(LENGTH_HEADER.lower().encode())
        if length is None:
            return _body(request, reply.body, "application/json")
        return _body(request, reply.body, "application/octet-stream", {LENGTH_HEADER: length.decode()})

    async def _live(self, request: web.BaseRequest, path: str) -> Answer:
        return _yes_or_no(await self._backend.holds(path))

    async def _ready_now(self, request: web.BaseRequest, path: str) -> Answer:
        return _yes_or_no(self._ready() and await self._backend.holds(path))

    async def _get(self, request: web.BaseRequest, path: str) -> Answer:
        """What Triton says of itself or of a model."""
        return _json_text((await self._backend.ask("GET", path)).body)

    async def _index(self, request: web.BaseRequest, path: str) -> Answer:
        ready = (await self._fields(request)).get("ready", False)
        if not isinstance(ready, bool):
            raise Refusal(400, "ready: expected true or false")
        return _json_text((await self._backend.ask("POST", path, _dumped({"ready": ready}), control=True)).body)

    async def _regions(self, request: web.BaseRequest, path: str) -> Answer:
        """Shared memory of clients: status, register, unregister."""
        if path.endswith("/status"):
            return _json_text((await self._backend.ask("GET", path, control=True)).body)
        fields = await self._fields(request)
        body = b""
        if path.endswith("/register"):
            sizes = {name: _bytes(name, fields.get(name, 0)) for name in ("offset", "byte_size")}
            body = _dumped({"key": check_key(fields.get("key")), **sizes})
        await self._backend.ask("POST", path, body, control=True)
        return web.Response()

    async def _fields(self, request: web.BaseRequest) -> dict[str, Any]:
        """The JSON object in the body of a request; no body is an empty one."""
        if not request.body_exists:
            _received(request)
            return {}
        with self._memory.share() as share:
            body = await read_body(request, min(self._settings.max_body_bytes, 65_536), share)
        _received(request)
        try:
            fields = json.loads(body) if body else {}
        except (RecursionError, ValueError) as error:
            raise Refusal(400, "failed to parse the request JSON buffer") from error
        if not isinstance(fields, dict):
            raise Refusal(400, "the request: expected a JSON object")
        return fields


def _received(request: web.BaseRequest) -> None:
    if isinstance(request.protocol, Connection):
        request.protocol.received()


def _header_length(request: web.BaseRequest) -> int | None:
    texts = request.headers.getall(LENGTH_HEADER, [])
    if not texts:
        return None
    if len(texts) > 1:
        raise Refusal(400, f"{LENGTH_HEADER}: expected one header of this name, got {len(texts)}")
    (text,) = texts
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Refusal(400, f"{LENGTH_HEADER}: expected a number of bytes, got {text[:40]!r}")
    return int(text)


def _bytes(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise Refusal(400, f"{name}: expected a number of bytes")
    return value


def _model_path(model: str, version: str | None, action: str | None) -> str:
    name = unquote(model, errors="replace")
    if not _NAME.fullmatch(name):
        raise Refusal(404, f"model {name[:100]!r}: not found; names are of letters, digits, _ . -")
    return f"/v2/models/{name}" + (f"/versions/{version}" if version else "") + (f"/{action}" if action else "")


def _yes_or_no(yes: bool) -> Answer:
    return web.Response() if yes else web.Response(status=503, headers={"Retry-After": str(RETRY_AFTER_S)})


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _json(value: object, status: int) -> Answer:
    return _json_text(_dumped(value), status)


def _json_text(text: bytes, status: int = 200) -> Answer:
    return web.Response(body=text, status=status, content_type="application/json", headers={"Server": "cascade"})


def _body(request: web.BaseRequest, body: bytes, kind: str, headers: dict[str, str] | None = None) -> Answer:
    """The answer to an inference request, compressed if the client accepts that."""
    headers = {"Content-Type": kind, "Server": "cascade", **(headers or {})}
    accepted = {
        name.lower()
        for name, weight in _CODINGS.findall(request.headers.get("Accept-Encoding", ""))
        if not weight or float(weight)
    }
    if len(body) >= _WORTH_PACKING and (encoding := next((name for name in _WINDOW if name in accepted), None)):
        packer = compressobj(level=1, wbits=_WINDOW[encoding])
        body = packer.compress(body) + packer.flush()
        headers["Content-Encoding"] = encoding
    return web.Response(body=body, headers=headers)
