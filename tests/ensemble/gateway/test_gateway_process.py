"""The gateway as a child process: it is replaced when it ends or hangs, ends with its parent, and shows no secret."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from aiohttp import web
from waiting import HANG_S, wait_until

from cascade.ensemble.config import ServerConfig
from cascade.ensemble.gateway import process
from cascade.ensemble.gateway.process import GatewayProcess
from cascade.ensemble.gateway.settings import HTTP_SOCKET, ParentState, Settings
from cascade.ensemble.server.ports import claim_ports

KEY = "the-key-of-control-calls"


class Triton:
    """Stands in for Triton on its Unix socket; ``fails`` are the errors of the next inferences."""

    def __init__(self, folder):
        self.fails, self.asked, self.folder = [], 0, str(folder)
        self._loop, started = asyncio.new_event_loop(), threading.Event()

        async def serve():
            await (runner := web.ServerRunner(web.Server(self._answer))).setup()
            await web.UnixSite(runner, f"{folder}/{HTTP_SOCKET}").start()
            started.set()

        def run():
            self._loop.run_until_complete(serve())
            self._loop.run_forever()

        threading.Thread(target=run, daemon=True).start()
        assert started.wait(HANG_S)

    async def _answer(self, request):
        if request.method == "POST":
            self.asked += 1
            assert await request.read()
            if self.fails:
                status, text = self.fails.pop(0)
                return web.json_response({"error": text}, status=status)
        return web.json_response({"version": "2.99.0"})


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    return Triton(tmp_path_factory.mktemp("sockets"))


class Running:
    def __init__(self, triton, state=ParentState):
        ports = claim_ports(ServerConfig(http_port=0, grpc_port=0, metrics_port=0))
        self.url, self.metrics = f"http://127.0.0.1:{ports.http}", f"http://127.0.0.1:{ports.metrics}/metrics"
        settings = Settings(triton.folder, KEY)
        self.process = GatewayProcess(settings, [("127.0.0.1", ports.http), ("127.0.0.1", ports.metrics)], state)
        self.process.start()
        wait_until(self.process.answers)

    def get(self, path="/v2/health/live"):
        with urllib.request.urlopen(self.url + path if path.startswith("/") else path, timeout=HANG_S) as answer:
            return answer.read().decode()

    def code(self, path):
        try:
            self.get(path)
        except urllib.error.HTTPError as error:
            return error.code
        return 200

    def infer(self):
        request = urllib.request.Request(f"{self.url}/v2/models/m/infer", b'{"id": "7", "inputs": []}')
        try:
            with urllib.request.urlopen(request, timeout=HANG_S) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


@pytest.fixture(scope="module")
def gateway(triton):
    running = Running(triton)
    yield running
    running.process.stop()


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_ends_or_hangs_is_replaced_and_no_client_is_refused(gateway, sign, monkeypatch):
    monkeypatch.setattr(process, "HANG_S", 1e9)  # one that is stopped is found without it
    first, before = gateway.process.pid, gateway.process.restarts
    os.kill(first, sign)
    assert gateway.get() == ""  # waits for the next one
    assert gateway.process.pid != first
    assert gateway.process.restarts > before
    assert not psutil.pid_exists(first)


def test_a_frozen_parent_is_not_taken_for_a_hanging_gateway(gateway, monkeypatch):
    monkeypatch.setattr(process, "HANG_S", 2.0)
    first = gateway.process.pid
    real, jumps = time.monotonic, iter([30.0])
    monkeypatch.setattr(process.time, "monotonic", lambda: real() + next(jumps, 30.0))
    time.sleep(0.5)
    assert gateway.get() == "" and gateway.process.pid == first


def test_the_key_is_in_no_argument_and_no_variable(gateway):
    folder = Path(f"/proc/{gateway.process.pid}")
    for file in ("cmdline", "environ"):
        assert KEY.encode() not in (folder / file).read_bytes()


def test_what_the_parent_says_is_served(triton):
    state = ParentState(ready=False, metrics="recsys_restarts_total 3\n")
    running = Running(triton, lambda: state)
    try:
        assert running.code("/v2/health/ready") == 503 and not running.process.says_ready()
        state = ParentState(metrics="recsys_restarts_total 3\n")
        wait_until(running.process.says_ready)
        wait_until(lambda: "recsys_restarts_total 3\n" in running.get(running.metrics))
        assert "recsys_gateway_connections_limit" in running.get(running.metrics)
        assert 'recsys_triton_info{version="2.99.0"} 1' in running.get(running.metrics)
        assert running.get("/v2/health/ready") == ""
        state = ParentState(ready=False)

        wait_until(lambda: running.code("/v2/health/ready") == 503)
        assert running.get("/v2/health/live") == ""
    finally:
        running.process.stop()


@pytest.mark.parametrize("error", [(503, "the stub has died"), (500, "Stub process 'a_0' is not healthy.")])
@pytest.mark.parametrize("failures", [0, 1, 3, 4])
def test_a_request_that_met_a_dying_instance_is_sent_again_at_most_three_times(gateway, triton, failures, error):
    triton.fails = [error] * failures
    triton.asked = 0
    assert gateway.infer() == (200 if failures < 4 else 503)
    assert triton.asked == min(failures + 1, 4)


@pytest.mark.parametrize(
    ("theirs", "text", "status"),
    [
        (503, "Exceeds maximum queue size", 503),
        (400, "top_k: expected 1 to 12", 400),
        (404, "unknown model", 404),
        (501, "unsupported", 400),
        (500, "the model failed", 500),
    ],
)
def test_other_failures_are_told_at_once(gateway, triton, theirs, text, status):
    triton.fails, triton.asked = [(theirs, text)], 0
    assert gateway.infer() == status
    assert triton.asked == 1


def test_a_triton_that_comes_later_is_asked_from_then_on(tmp_path):
    running = Running(SimpleNamespace(folder=str(tmp_path)))
    try:
        wait_until(lambda: running.code("/v2/health/live") == 503)
        assert running.infer() == 503
        triton = Triton(tmp_path)
        wait_until(lambda: running.code("/v2/health/live") == 200)
        assert running.infer() == 200 and triton.asked == 1
    finally:
        running.process.stop()


@contextmanager
def parent_process(triton, tmp_path, files=4096):
    """Another parent of a gateway, with a limit of open files; (process, pid of the gateway, its HTTP port)."""
    ports = claim_ports(ServerConfig(http_port=0, grpc_port=0, metrics_port=0))
    script = tmp_path / "parent.py"
    script.write_text(f"""
import resource, time
from cascade.ensemble.gateway.process import GatewayProcess
from cascade.ensemble.gateway.settings import Settings
resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}))
addresses = [("127.0.0.1", {ports.http}), ("127.0.0.1", {ports.metrics})]
gateway = GatewayProcess(Settings({triton.folder!r}, ""), addresses)
gateway.start()
while not gateway.answers():
    time.sleep(0.05)
print(gateway.pid, flush=True)
time.sleep(900)
""")
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            yield parent, int(parent.stdout.readline()), ports.http
        finally:
            parent.kill()


def test_more_connections_than_open_files_are_no_outage(triton, tmp_path):
    with parent_process(triton, tmp_path, files=300) as (_, pid, port), ExitStack() as idle:
        for _ in range(400):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), HANG_S))
        for _ in range(20):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/live", timeout=HANG_S) as answer:
                assert answer.status == 200
        assert psutil.Process(pid).num_fds() < 300


def test_it_ends_with_its_parent(triton, tmp_path):
    with parent_process(triton, tmp_path) as (parent, pid, _):
        assert psutil.pid_exists(pid)
        parent.kill()
    wait_until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_port_that_is_taken_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gateway = GatewayProcess(Settings("", ""), [taken.getsockname()])
        with pytest.raises(process.ServerError, match=rf"port {taken.getsockname()[1]} on 127.0.0.1 cannot be used"):
            gateway.start()
        gateway.stop()


def test_nothing_is_left_when_it_is_stopped(triton):
    threads, children = set(threading.enumerate()), set(psutil.Process().children())
    running = Running(triton)
    running.process.stop()
    assert set(psutil.Process().children()) <= children
    assert not {each for each in set(threading.enumerate()) - threads if each.name == "cascade-gateway"}
    with pytest.raises(urllib.error.URLError, match="refused"):
        running.get()
