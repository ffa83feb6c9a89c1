"""The gateway's HTTP server in a thread, with a stand-in for Triton that answers with what it gets."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from concurrent.futures import Future
from contextlib import contextmanager

import uvloop
from waiting import HANG_S

from cascade.ensemble.gateway.api import Api
from cascade.ensemble.gateway.connections import Connections
from cascade.ensemble.gateway.counters import Counters
from cascade.ensemble.gateway.refusals import Refusal
from cascade.ensemble.gateway.settings import Settings
from cascade.ensemble.gateway.upstream import Reply

VALID = {"inputs": [{"name": "user_id", "shape": [1, 1], "datatype": "INT64", "data": [[7]]}]}
MEGABYTE = 1024 * 1024


def exchange(connection, method, path, body=None, headers=None):
    """(status, headers, body) of one request; the connection is closed after it."""
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def ended(client):
    """Wait until the server has ended the connection; what it said."""
    said = b""
    try:
        while chunk := client.recv(65_536):
            said += chunk
    except ConnectionResetError:
        pass
    return said


class Echo:
    """Stands in for `Backend`: answers a request for the model ``echo`` with its own tensors. ``error`` has it fail."""

    error: Exception | None = None
    held: asyncio.Event | None = None
    holding = False
    delay_s = 0.0
    padding = 0
    """Bytes that an answer has beside its outputs."""

    async def infer(self, path, body, headers):
        await asyncio.sleep(self.delay_s)
        if self.held is not None:
            self.holding = True
            await self.held.wait()
        if self.error is not None:
            raise self.error
        if path != "/v2/models/echo/infer":
            raise Refusal(404, "no such model")
        length = int(headers["Inference-Header-Content-Length"])
        request, tensors = json.loads(body[:length]), body[length:]
        for tensor in request["inputs"]:
            size = tensor.pop("parameters")["binary_data_size"]
            assert size <= len(tensors)
            tensor["size"], tensors = size, tensors[size:]
        assert not tensors
        return Reply(200, {}, json.dumps({"outputs": request["inputs"], "more": "a" * self.padding}).encode())

    async def ask(self, method, path, body=b"", headers=None, *, control=False, timeout=0.0):
        assert path.isascii() and " " not in path and "\n" not in path
        return Reply(200, {}, b"{}")

    async def holds(self, path):
        return True


class Gateway:
    """A running server: ``host``, ``port``, ``counters`` and the stand-in ``backend``."""

    def __init__(self, **settings):
        self.settings = Settings("", "", **settings)
        self.backend, self.counters = Echo(), Counters()
        self.ready = True
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)

    async def _serve(self):
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        api = Api(self.settings, self.backend, self.counters, lambda: self.ready)
        server = Connections(
            api.handle,
            answer_refusal=api.refuse,
            counters=self.counters,
            limit=self.settings.max_connections or 1000,
            request_timeout_s=self.settings.request_timeout_s,
            idle_timeout_s=self.settings.idle_timeout_s,
        )
        self.connections = server
        listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        self.host, self.port = listener.sockets[0].getsockname()
        sweep = asyncio.create_task(server.end_slow())
        self._started.set_result(None)
        await self._stop.wait()
        sweep.cancel()
        listener.close()
        await server.shutdown(0)

    def start(self):
        self._thread.start()
        self._started.result(HANG_S)

    def stop(self):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(HANG_S)

    def hold(self):
        """Let requests to the model wait until the function that this returns is called."""
        self.backend.held = held = asyncio.Event()
        return lambda: self._loop.call_soon_threadsafe(held.set)

    def holding(self):
        return self.backend.holding

    def ask(self, method, path, body=None, headers=None):
        """(status, headers, body) of a request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=HANG_S)
        return exchange(connection, method, path, body, headers)

    def infer(self, request, headers=None, model="echo"):
        body = request if isinstance(request, bytes) else json.dumps(request).encode()
        return self.ask("POST", f"/v2/models/{model}/infer", body, headers)

    def answers(self):
        """Whether it answers a valid request."""
        status, _, body = self.infer(VALID)
        return status == 200 and json.loads(body)["outputs"][0]["size"] == 8


@contextmanager
def running(**settings):
    gateway = Gateway(**settings)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.stop()
