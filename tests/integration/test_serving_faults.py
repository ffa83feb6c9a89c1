"""What goes wrong around the model: killed and frozen processes, broken exports, taken ports; a stop leaves nothing.

Nothing here says how fast something is: `cascade bench --chaos` does.
"""

import os
import shutil
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress
from urllib.request import urlopen

import psutil
import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import CascadeError, CrashError, ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.gateway.process import GatewayProcess
from cascade.ensemble.protocol.call_errors import NoAnswerError
from cascade.ensemble.server import stubs
from cascade.ensemble.server.model_control import ModelControl
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.status import ServerStatus
from cascade.ensemble.server.stubs import running_stubs
from cascade.testing.miniature import seal

RELEASE = "0123456789ab"
FAULTS = [signal.SIGKILL, signal.SIGSTOP]


@pytest.fixture
def start(repository, free, tmp_path, nothing_left):
    """Makes a server on a copy of the repository that a test may spoil."""
    copy = tmp_path / "models"
    shutil.copytree(repository, copy)
    lines = []

    def make(**more):
        made = TritonServer(
            copy, "cascade", **{"feature_repo": tmp_path, "config": free, "forward": lines.append, **more}
        )
        made.lines = lines
        return made

    return make


@pytest.fixture(scope="module")
def two(repository, free, tmp_path_factory):
    """A server with two instances that several tests damage, one after the other."""
    copy = tmp_path_factory.mktemp("two") / "models"
    shutil.copytree(repository, copy)
    config = free.model_copy(update={"instances": 2, "max_restarts": 100})
    with TritonServer(copy, "cascade", feature_repo=copy, config=config) as server:
        yield server


class Load:
    """Clients that ask without a pause; when they got answers, and how many requests failed or got no reply at all."""

    def __init__(self, url, clients):
        self.answered, self.left_waiting, self.failed, self._stop = [], 0, 0, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(url,)) for _ in range(clients)]

    def _ask(self, url):
        with Client(url, timeout=HANG_S) as client:
            while not self._stop.is_set():
                try:
                    client.recommend([101])
                    self.answered.append(time.monotonic())
                except NoAnswerError:
                    self.left_waiting += 1
                except CascadeError:
                    self.failed += 1
                    time.sleep(0.01)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def next_answer(self, since):
        """Wait for an answer that comes after ``since``."""
        wait_until(lambda: self.answered and self.answered[-1] > since, 0.01)


def zombies(server):
    return [child for child in psutil.Process(server.pid).children() if child.status() == psutil.STATUS_ZOMBIE]


def healed(server, healthy=None, count=2):
    """Whether all of the server's processes are well, and those of ``healthy`` are among them."""
    return server.ready() and len(pids(server)) == count and (healthy or set()) <= pids(server)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_one_of_two_is_replaced_while_the_other_goes_on(two, fault):
    wait_until(lambda: healed(two))
    server_pid, before, ended = two.pid, pids(two), two.counts()["replaced_instances"]
    with Load(two.grpc_url, 4) as load:
        load.next_answer(time.monotonic())
        os.kill(max(before), fault)
        failed_at = time.monotonic()
        load.next_answer(failed_at)
        wait_until(lambda: not psutil.pid_exists(max(before)))  # no zombie of it stays
        wait_until(lambda: healed(two, {min(before)}))
        load.next_answer(time.monotonic())
    wait_until(lambda: two.counts()["replaced_instances"] > ended)  # it is counted after it is used
    assert two.counts()["replaced_instances"] == ended + 1
    assert two.pid == server_pid and not zombies(two)
    assert not load.left_waiting
    assert load.failed <= 4  # what it held


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_all_at_once_are_replaced_and_the_server_is_not_ready_meanwhile(two, fault, caplog, capfd):
    wait_until(lambda: healed(two))
    server_pid, before = two.pid, pids(two)
    with Load(two.grpc_url, 4) as load:
        load.next_answer(time.monotonic())
        for pid in before:
            os.kill(pid, fault)
        wait_until(lambda: not ServerStatus.read(two.status_file).ready and not two.ready(), 0.001)
        wait_until(lambda: healed(two) and not before & pids(two))
        load.next_answer(time.monotonic())
    if two.pid != server_pid:  # a process held a lock of Triton's memory, so that Triton aborts; docs/how-to/serve.md
        assert "tritonserver was ended by SIGABRT" in caplog.text
        assert "boost::interprocess::lock_exception" in capfd.readouterr().err
    assert not load.left_waiting


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_tritonserver_is_started_again_on_its_ports(two, fault):
    wait_until(lambda: healed(two))
    server_pid, stubs, url, restarts = two.pid, pids(two), two.grpc_url, two.counts()["server_restarts"]
    with Client(url, timeout=1) as client:  # it stays connected
        client.recommend([101])
        os.kill(server_pid, fault)
        wait_until(lambda: not ServerStatus.read(two.status_file).ready, 0.001)
        wait_until(lambda: two.counts()["server_restarts"] == restarts + 1)
        wait_until(lambda: _answers(client) and healed(two))
    assert two.grpc_url == url and two.pid != server_pid
    wait_until(lambda: not any(map(psutil.pid_exists, {server_pid, *stubs})))


def test_a_load_or_an_unload_of_others_changes_nothing(two):
    wait_until(lambda: healed(two))
    with ModelControl(two.grpc_url, control_key=two.control_key) as control:
        control.load()
        assert control.probe() == RELEASE and len(pids(two)) == 2
        control._triton.unload_model("cascade", headers=control._headers)
        wait_until(lambda: _answers(control) and healed(two))
        assert control.probe() == RELEASE


def test_a_second_server_leaves_the_first_one_s_release_alone(two, free):
    wait_until(lambda: healed(two))
    with TritonServer(two.repository, "cascade", feature_repo=two.repository, config=free) as second:
        assert second.release == RELEASE
    os.kill(max(pids(two)), signal.SIGKILL)
    wait_until(lambda: healed(two))


HANGS = """
import time as _time
from pathlib import Path as _Path

class _Hangs(TritonPythonModel):
    def _pass(self, requests, seconds):
        while _Path({flag!r}).exists():
            _time.sleep(0.01)
        return super()._pass(requests, seconds)

TritonPythonModel = _Hangs
"""


def test_a_process_that_hangs_in_a_pass_is_replaced(start, tmp_path, monkeypatch):
    monkeypatch.setattr(stubs, "STUCK_S", 1.0)
    server, flag = start(), tmp_path / "hang"
    with (server.repository / "cascade" / "1" / "model.py").open("a") as model:
        model.write(HANGS.format(flag=str(flag)))
    seal(server.repository)
    with server, Client(server.grpc_url, timeout=0.5) as client:
        client.recommend([101])
        (before,) = pids(server)
        flag.touch()
        with pytest.raises(CascadeError):
            client.recommend([101])
        wait_until(lambda: before not in pids(server))
        flag.unlink()
        wait_until(lambda: _answers(client) and healed(server, count=1))


def test_what_is_published_goes_live_when_it_is_reloaded_and_not_before(start, caplog):
    with start() as server, Client(server.grpc_url, timeout=HANG_S) as client:
        model = server.repository / "cascade"
        export_as(2, model, shutil.ignore_patterns("graph.json"))  # broken
        os.kill(max(pids(server)), signal.SIGKILL)
        wait_until(lambda: healed(server, count=1))
        with pytest.raises(ServerError, match="graph.json: is missing"):
            server.reload()
        with Load(server.grpc_url, 2) as load:
            assert client.recommend([101])[0].release == server.release == RELEASE
            publish(model / "2", model / "1", "next")
            load.next_answer(time.monotonic())
            wait_until(server.ready)
            with ready_while(server) as seen:
                server.reload()
            assert seen and all(seen)
            assert client.recommend([101])[0].release == server.release == "next"
            load.next_answer(time.monotonic())
        assert not load.failed and not load.left_waiting
        os.kill(max(pids(server)), signal.SIGKILL)
        wait_until(lambda: healed(server, count=1))
        assert client.recommend([101])[0].release == "next"
        assert server.counts() | {"replaced_instances": 0} == {
            "server_restarts": 0,
            "replaced_instances": 0,
            "reloads": 1,
            "reload_failures": 1,
        }


def test_a_server_that_is_not_to_be_started_again_is_a_crash(start, free):
    with start(config=free.model_copy(update={"restart": "never"})) as server:
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(CrashError, match="tritonserver was ended by SIGKILL; .*server.restart"):
            server.wait(threading.Event())
        assert not server.ready()


def test_a_stop_with_a_dead_stub_leaves_nothing_and_does_not_hang(start):
    server = start()
    server.start()
    (stub,) = running_stubs(server.pid)
    region = f"/dev/shm/{stub.region}"
    assert os.path.exists(region)
    os.kill(stub.process.pid, signal.SIGKILL)
    server.stop()
    assert not os.path.exists(region)
    server.stop()  # nothing happens


def test_a_broken_model_says_why_and_leaves_nothing(start, nothing_left):
    server = start()
    (server.repository / "cascade" / "1" / "graph.json").unlink()
    with pytest.raises(ServerError, match="graph.json: is missing") as refused:
        server.start()
    assert "\n" not in str(refused.value)
    nothing_left()


def test_a_broken_config_says_why(start):
    server = start()
    (server.repository / "cascade" / "config.pbtxt").write_text("no such field: 1")
    with pytest.raises(ServerError, match="config.pbtxt"):
        server.start()


def test_a_repository_without_the_model_says_how_to_get_it(start, tmp_path):
    with pytest.raises(ServerError, match="'nobody'.*cascade run"):
        TritonServer(tmp_path, "nobody", feature_repo=tmp_path).start()


def test_a_taken_port_is_named(start):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"port {port} \(http\)"):
            start(config=ServerConfig(http_port=port, grpc_port=0, metrics_port=0)).start()


def test_giving_up_while_starting(start, nothing_left):
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(ServerError, match="stopped while starting"):
        start(cancelled=cancelled).start()
    nothing_left()


@contextmanager
def ready_while(server):
    """A list that gets what the server says of its readiness, again and again, within the context."""
    seen, done = [], threading.Event()

    def ask():
        while not done.wait(0.02):
            seen.append(server.ready())

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def export_as(version, model, ignore=None):
    """Version 1 of a model as another version, which its config names from now on, as after an export."""
    shutil.copytree(model / "1", model / str(version), ignore=ignore)
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace("versions: 1", f"versions: {version}"))


def publish(version, source, release):
    """Complete a version with the graph of another one, which answers with another release."""
    graph = (source / "graph.json").read_text()
    (version / "graph.json").write_text(graph.replace(RELEASE, release))
    manifest = (source / "release.json").read_text()
    (version / "release.json").write_text(manifest.replace(RELEASE, release))
    seal(version.parents[1])


def test_sockets_that_somebody_deletes_come_back(start):
    with start() as server, Client(server.grpc_url, timeout=HANG_S) as client:
        shutil.rmtree(server._sockets)
        wait_until(lambda: server.counts()["server_restarts"] == 1 and _is_ready(server.http_url))
        assert client.recommend([101])


def test_a_server_that_ends_while_it_becomes_ready_starts_all_the_same(start, monkeypatch):
    server, says_ready = start(), GatewayProcess.says_ready
    killed = []

    def kill_first(gateway):
        if not killed:
            killed.append(server.pid)
            os.kill(server.pid, signal.SIGKILL)
            return False
        return says_ready(gateway)

    monkeypatch.setattr(GatewayProcess, "says_ready", kill_first)
    with server, Client(server.grpc_url, timeout=HANG_S) as client:
        assert server.pid != killed[0]
        assert client.recommend([101])


def _is_ready(url):
    with suppress(OSError), urlopen(f"{url}/v2/models/cascade/ready", timeout=HANG_S):
        return True
    return False


def test_the_log_is_passed_on_without_noise(start):
    server = start()
    with server, Client(server.grpc_url) as client:
        client.recommend([101])
    text = "\n".join(server.lines)
    assert "successfully loaded 'cascade'" in text
    assert "CudaDriverHelper" not in text and "+----" not in text


def pids(server):
    return {stub.process.pid for stub in running_stubs(server.pid)}


def _answers(client):
    try:
        return bool(client.recommend([101]))
    except CascadeError:
        time.sleep(0.1)
        return False
