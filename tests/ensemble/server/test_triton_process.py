"""The launcher, with a script in place of tritonserver."""

import socket
import stat
import sys
import threading

import pytest

from cascade.core.errors import CrashError, ServerError
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server import shared_memory, triton_process
from cascade.ensemble.server.runtime import Runtime
from cascade.ensemble.server.triton_process import TritonProcess

FREE = ServerConfig(http_port=0, grpc_port=0, metrics_port=0)
SERVES = (
    "import os, sys, time\nprint(os.getcwd(), os.environ.get('ANSWER'), *sys.argv[1:], flush=True); time.sleep(900)"
)
FAILS = "print('error: no such model')\nprint('more')\nraise SystemExit(3)"


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Starts a process whose server is this Python code; lists the lines of its log."""
    monkeypatch.setattr(shared_memory, "FOLDER", tmp_path / "shm")
    (tmp_path / "shm").mkdir()
    started = []

    def start(code, **options):
        server = tmp_path / "tritonserver"
        server.write_text(f"#!{sys.executable}\n{code}\n")
        server.chmod(server.stat().st_mode | stat.S_IXUSR)
        lines = []
        process = TritonProcess(tmp_path / "models", FREE, forward=lines.append, **options)
        started.append(process)
        process.start(Runtime(server, tmp_path / "backends", (), tmp_path))
        return process, lines

    yield start
    for process in started:
        process.stop()


def test_the_command_names_repository_ports_and_what_was_asked_for(launch, tmp_path):
    process, lines = launch(SERVES, arguments=["--load-model=a"], environment={"ANSWER": "42"}, folder=tmp_path)
    process.wait_until(lambda: bool(lines), "a")
    folder, answer, *arguments = lines[0].split()
    assert (folder, answer) == (str(tmp_path), "42")
    assert {
        f"--backend-directory={tmp_path / 'backends'}",
        f"--model-repository={tmp_path / 'models'}",
        "--model-control-mode=explicit",
        f"--grpc-port={process.ports.grpc}",
        "--grpc-address=127.0.0.1",
        "--load-model=a",
    } <= set(arguments)
    assert process.ports.grpc_url == f"127.0.0.1:{process.ports.grpc}"


def test_a_server_that_ends_gives_the_cause_from_its_log(launch):
    process, _ = launch(FAILS)
    with pytest.raises(ServerError, match="^tritonserver ended with code 3: error: no such model$"):
        process.wait_until(lambda: False, "a")


def test_a_start_that_takes_too_long_says_what_and_what_the_log_says(launch, monkeypatch, caplog):
    monkeypatch.setattr(triton_process, "_TELL_S", 0.1)
    process, lines = launch(SERVES.replace("print(", "print('still loading'); print("), startup_s=0.5)
    with pytest.raises(CrashError, match="^model 'a' did not load in 0 s; the log says: "):
        process.wait_until(lambda: False, "model 'a'")
    assert "model 'a' is still being loaded, for at most 0 s more" in caplog.text


@pytest.mark.parametrize(
    ("number", "text"),
    [(9, "^tritonserver was ended by SIGKILL$"), (6, "^tritonserver was ended by SIGABRT: up$")],
)
def test_a_signal_that_ends_it_is_named(launch, number, text):
    process, _ = launch(f"import os; print('up', flush=True); os.kill(os.getpid(), {number})")
    with pytest.raises(ServerError, match=text):
        process.wait_until(lambda: False, "a")


def test_giving_up(launch):
    cancelled = threading.Event()
    process, _ = launch(SERVES, cancelled=cancelled)
    cancelled.set()
    with pytest.raises(ServerError, match="stopped while starting"):
        process.wait_until(lambda: False, "a")


def test_a_standby_that_does_not_open_its_port_is_given_up(launch, monkeypatch):
    monkeypatch.setattr(triton_process, "_LISTEN_S", 0.3)
    process, lines = launch(SERVES)
    with pytest.raises(ServerError, match="^the gRPC port did not open in 0 s; the log says: "):
        process.listen(60)
    with socket.create_server(("127.0.0.1", process.ports.grpc)):
        process.listen(60)
    process.wait_until(lambda: bool(lines), "a")


def test_a_stop_leaves_no_process_and_no_shared_memory(launch, tmp_path):
    process, lines = launch(SERVES)
    process.wait_until(lambda: bool(lines), "a")
    (region,) = [part.split("=")[-1] for part in lines[0].split() if "shm-region-prefix-name" in part]
    (tmp_path / "shm" / f"{region}1").write_text("")
    (tmp_path / "shm" / "of_another_server").write_text("")
    process.stop()
    assert [file.name for file in (tmp_path / "shm").iterdir()] == ["of_another_server"]
    with pytest.raises(ServerError, match="the server does not run"):
        process.check_alive()
    assert process.ports.http > 0  # what it was reached at can still be reported
    process.stop()  # nothing happens
