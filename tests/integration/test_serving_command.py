"""``serve`` in a process of its own: one ready line, signals, exit codes, nothing left."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
from waiting import HANG_S, wait_until

from cascade.core.errors import ServerError
from cascade.ensemble.client import Client
from cascade.ensemble.server import shared_memory
from cascade.ensemble.server.releases.reload import reload

SERVE = """
import logging
import resource
import sys
from pathlib import Path
from cascade.core.errors import CascadeError
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server.serve import serve
from cascade.rollout.releases.follow import Follower

logging.basicConfig()
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))
folder, free = Path(sys.argv[1]), ServerConfig(http_port=0, grpc_port=0, metrics_port=0, standby=False, drain_s=900)
try:
    serve(free, repository=folder, model="cascade", feature_repo=folder, attend=Follower)
except CascadeError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def serve(repository, nothing_left):
    started = []

    def start(folder=repository):
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def drain(process):
    """Read stderr so that the process never waits for us; what it wrote, when it has ended."""
    text = []
    reader = threading.Thread(target=lambda: text.append(process.stderr.read()))
    reader.start()
    return lambda: (reader.join(), text[0])[1]


def status(url):
    try:
        with urlopen(url, timeout=HANG_S) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_ready_line_then_a_clean_end(serve, number):
    process = serve()
    errors = drain(process)
    ready = process.stdout.readline()
    assert ready.startswith("ready: model cascade, release 0123456789ab, grpc 127.0.0.1:")
    addresses = dict(part.split(" ", 1) for part in ready.removeprefix("ready: ").strip().split(", "))
    with Client(addresses["grpc"]) as client:
        assert client.recommend([101])[0].items
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    assert len(family) >= 3  # this one, tritonserver, the stub
    assert {len({*resource.prlimit(pid, resource.RLIMIT_NOFILE)}) for pid in family} == {1}  # soft and hard are equal
    process.send_signal(number)
    if number == signal.SIGTERM:
        wait_until(lambda: status(f"{addresses['http']}/v2/health/ready") == 503)
        assert status(f"{addresses['http']}/v2/models/cascade") == 200  # it still answers
        process.send_signal(number)  # enough of that
    assert process.wait(HANG_S) == 0
    assert process.stdout.read() == ""
    assert "Traceback" not in errors()
    assert not any(psutil.pid_exists(pid) for pid in family)
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(f"cascade_{process.pid}_")]


def test_a_hangup_has_it_load_what_is_published(serve, repository, tmp_path):
    copy = tmp_path / "models"
    shutil.copytree(repository, copy)
    process = serve(copy)
    errors = drain(process)
    assert process.stdout.readline().startswith("ready: ")
    graph = copy / "cascade" / "1" / "graph.json"
    text = graph.read_text()
    graph.unlink()
    with pytest.raises(ServerError, match="release 0123456789ab stays live: .*graph.json: is missing"):
        reload(copy, "cascade", HANG_S)
    graph.write_text(text)
    assert reload(copy, "cascade", HANG_S) == ["0123456789ab"]
    process.send_signal(signal.SIGINT)
    assert process.wait(HANG_S) == 0
    assert "reload failed, release 0123456789ab stays live" in errors()
    with pytest.raises(ServerError, match="no `cascade serve` runs on model 'cascade'"):
        reload(copy, "cascade")


def test_a_signal_while_it_starts_ends_it(serve):
    process = serve()
    errors = drain(process)
    wait_until(psutil.Process(process.pid).children, 0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(HANG_S) == 0
    assert process.stdout.read() == ""
    assert "Traceback" not in errors()
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(f"cascade_{process.pid}_")]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is part of util-linux")
def test_the_server_ends_with_a_command_that_is_killed(serve):
    process = serve()
    drain(process)
    assert process.stdout.readline().startswith("ready: ")
    family = psutil.Process(process.pid).children(recursive=True)
    assert any(child.name() == "tritonserver" for child in family)
    process.kill()
    assert psutil.wait_procs(family, timeout=HANG_S)[1] == []
    shared_memory.remove_orphans()  # as the next start does
    assert not [name for name in os.listdir("/dev/shm") if name.startswith(f"cascade_{process.pid}_")]


def test_nothing_to_serve_is_one_line(serve, tmp_path):
    process = serve(tmp_path)
    out, errors = process.communicate(timeout=HANG_S)
    assert (process.returncode, out) == (1, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert "cascade run" in errors
