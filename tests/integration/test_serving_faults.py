"""What goes wrong around the model: killed stubs, broken exports, taken ports; and a stop that leaves nothing."""

import os
import shutil
import signal
import socket
import threading
import time

import psutil
import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import CascadeError, ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.protocol.call_errors import NoAnswerError
from cascade.ensemble.server.hang_check import HangCheck
from cascade.ensemble.server.model_control import ModelControl
from cascade.ensemble.server.server import TritonServer
from cascade.ensemble.server.stubs import running_stubs


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


class Load:
    """Clients that ask without a pause; when they got answers, and how many requests got no reply at all."""

    def __init__(self, url, clients):
        self.answered, self.left_waiting, self._stop = [], 0, threading.Event()
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


def test_a_load_through_triton_s_own_api_keeps_the_instances(start, free, caplog):
    with start(config=free.model_copy(update={"instances": 2})) as server:
        config, control = server.repository / "cascade" / "config.pbtxt", ModelControl(server.grpc_url, "cascade")
        os.utime(config, (time.time() + 60, time.time() + 60))  # Triton ignores a load if no file has changed
        control.load()  # it forgets how many there were
        wait_until(lambda: "the model has 1 instances, expected 2" in caplog.text)
        wait_until(lambda: control.instances() == 2 and len(running_stubs(server.pid)) == 2)
        assert control.probe() == server.release


def test_a_killed_stub_is_replaced_under_load_without_a_restart(start):
    with start() as server, Load(server.grpc_url, 8) as load:
        server_pid = server.pid
        load.next_answer(time.monotonic())
        for _ in range(2):  # the one that replaces it is watched as well
            (stub,) = running_stubs(server.pid)
            os.kill(stub.process.pid, signal.SIGKILL)
            killed = time.monotonic()
            time.sleep(0.1)  # answers that were on their way
            load.next_answer(killed + 0.1)
            load.next_answer(time.monotonic() + 1)
        assert server.pid == server_pid and psutil.pid_exists(server_pid)
    assert not load.left_waiting  # in the queue of the dead stub


def test_one_of_two_killed_is_replaced_and_nobody_hangs(start, free):
    with start(config=free.model_copy(update={"instances": 2})) as server, Load(server.grpc_url, 8) as load:
        load.next_answer(time.monotonic())
        before = pids(server)
        assert len(before) == 2
        os.kill(max(before), signal.SIGKILL)
        killed = time.monotonic()
        load.next_answer(killed + 0.1)  # the other goes on
        wait_until(lambda: len(pids(server) - before) == 2)
        wait_until(lambda: not before & pids(server))  # the one that was left ends as well
        load.next_answer(time.monotonic())
    assert not load.left_waiting


def test_a_stub_that_hangs_is_replaced(start):
    with start() as server, ModelControl(server.grpc_url, timeout=0.5) as client:
        client.recommend([101])
        check = HangCheck(server.pid, client.probe, client.answered, interval=0.1)
        (stub,) = running_stubs(server.pid)
        os.kill(stub.process.pid, signal.SIGSTOP)
        check.start()
        deadline = time.monotonic() + 300
        while not _answers(client):
            assert time.monotonic() < deadline
        check.stop()
        assert [new.process.pid for new in running_stubs(server.pid)] != [stub.process.pid]


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
    with pytest.raises(ServerError, match="no graph.json") as refused:
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


def test_a_server_that_dies_is_reported(start):
    with start() as server:
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises(ServerError, match="tritonserver ended with code -9"):
            server.wait(threading.Event())


def test_a_model_whose_stub_cannot_start_again_does_not_end_the_watch(start):
    with start() as server, Client(server.grpc_url) as client:
        graph = server.repository / "cascade" / "1" / "graph.json"
        graph.rename(graph.with_suffix(".aside"))
        os.kill(running_stubs(server.pid)[0].process.pid, signal.SIGKILL)
        time.sleep(2)
        graph.with_suffix(".aside").rename(graph)
        wait_until(lambda: _answers(client))
        assert len(client.recommend([101])[0].items) == 6


def export_as(version, model, ignore=None):
    """Version 1 of a model as another version, which its config names from now on, as after an export."""
    shutil.copytree(model / "1", model / str(version), ignore=ignore)
    config = model / "config.pbtxt"
    config.write_text(config.read_text().replace("versions: 1", f"versions: {version}"))


def test_an_exported_version_is_loaded_without_a_gap(start):
    with start() as server, Load(server.grpc_url, 2) as load, ModelControl(server.grpc_url) as client:
        model = server.repository / "cascade"
        export_as(10, model)
        release = model / "10" / "nodes" / "08_respond"
        assert release.is_dir()
        graph = (model / "10" / "graph.json").read_text()
        (model / "10" / "graph.json").write_text(graph.replace("0123456789ab", "next"))
        load.next_answer(time.monotonic())
        client.load()
        assert client.recommend([101])[0].release == "next"
        load.next_answer(time.monotonic())


def test_a_broken_new_version_leaves_the_old_one_serving(start):
    with start() as server, ModelControl(server.grpc_url) as client:
        model = server.repository / "cascade"
        export_as(2, model, shutil.ignore_patterns("graph.json"))
        with pytest.raises(ServerError, match="no graph.json"):
            client.load()
        assert client.recommend([101])[0].release == "0123456789ab"


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
