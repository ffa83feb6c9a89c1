"""Reads the body of a request, unpacks it if it is compressed, and never holds more than is allowed."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from .refusals import Refusal

_WINDOW = {"gzip": 31, "deflate": 15}
"""Content-Encoding -> zlib's wbits."""


class BodyMemory:
    """Counts the bytes of all bodies that are held at a time.

    Args:
        limit: bytes; a request beyond is refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._held = limit, 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """One request's share, given back at the end."""
        share = Share(self)
        try:
            yield share
        finally:
            self._held -= share.held

    def add(self, size: int) -> None:
        if self._held + size > self._limit:
            raise Refusal(503, "too many large requests at a time, ask again later")
        self._held += size


class Share:
    """What one request holds of a `BodyMemory`."""

    def __init__(self, memory: BodyMemory) -> None:
        self._memory, self.held = memory, 0

    def add(self, size: int) -> None:
        """Raises Refusal if all requests together hold too much."""
        self._memory.add(size)
        self.held += size


async def read_body(request: web.BaseRequest, limit: int, share: Share) -> bytes:
    """The body of a request, unpacked.

    Args:
        limit: most bytes, before and after it is unpacked.

    Raises:
        Refusal: if it is too large, not what its headers say, or of an unknown encoding.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", *_WINDOW):
        raise Refusal(415, f"Content-Encoding: expected gzip or deflate, got {encoding[:40]!r}")
    if request.content_length is None and "Transfer-Encoding" not in request.headers:
        raise Refusal(411, "expected a body with the header Content-Length, got none")
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit, f"{request.content_length:,}")
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        if encoding in _WINDOW:
            return await _unpacked(request, encoding, limit, share)
        return await _plain(request, limit, share)
    except (asyncio.IncompleteReadError, web.RequestPayloadError) as error:
        raise Refusal(400, "the body ends early or is not chunked as its headers say") from error


async def _plain(request: web.BaseRequest, limit: int, share: Share) -> bytes:
    body = bytearray()
    while chunk := await request.content.readany():
        share.add(len(chunk))
        body += chunk
        if len(body) > limit:
            raise _too_large(limit, "more")
    return bytes(body)


async def _unpacked(request: web.BaseRequest, encoding: str, limit: int, share: Share) -> bytes:
    unpacker, body = zlib.decompressobj(_WINDOW[encoding]), bytearray()
    try:
        while chunk := await request.content.readany():
            part = unpacker.decompress(chunk, limit + 1 - len(body))
            share.add(len(part))
            body += part
            if len(body) > limit:
                raise _too_large(limit, f"more after unpacking {encoding}")
            if unpacker.unused_data:
                raise Refusal(400, f"the body has data after the end of its {encoding}")
    except zlib.error as error:
        raise Refusal(400, f"the body is not {encoding}, as its Content-Encoding says") from error
    if not unpacker.eof:
        raise Refusal(400, f"the {encoding} of the body ends early")
    return bytes(body)


def _too_large(limit: int, got: str) -> Refusal:
    return Refusal(413, f"the body: expected at most {limit:,} bytes, got {got}; see server.gateway.max_body_mb")
