"""The gate before a standby: what waits at it ends with the server that started it."""

import subprocess
import sys

import psutil
import pytest
from waiting import wait_until

from cascade.ensemble.server.start_gate import NAME, StartGate

SERVER = """
import os, subprocess, sys, time
command = [sys.executable, "-c", sys.argv[1], "size", "growth", str({server})]
stub = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
stub.stdout.readline()
print(stub.pid, flush=True)
print(stub.stdout.readline(), end="", flush=True)
time.sleep(900)
"""
STUB = """
import sys, threading
sys.path.insert(0, {folder!r})
from model import TritonPythonModel
print("begins", flush=True)
TritonPythonModel().initialize({{}})
print("passed", flush=True)
threading.Event().wait()
"""


@pytest.fixture
def gate():
    made = StartGate()
    yield made
    made.remove()


def started(gate, server="os.getpid()"):
    """A server, and the process id of its stub that waits at the gate; the stub was told that of ``server``."""
    (folder,) = [argument.split("=")[1] for argument in gate.arguments() if "repository" in argument]
    program = [sys.executable, "-c", SERVER.format(server=server), STUB.format(folder=f"{folder}/{NAME}/1")]
    running = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    return running, psutil.Process(int(running.stdout.readline()))


def has_ended(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_waits_ends_when_its_server_is_killed(gate):
    server, stub = started(gate)
    with server:
        assert not has_ended(stub)
        server.kill()
    wait_until(lambda: has_ended(stub))


def test_it_does_not_pass_a_gate_that_nobody_opened(gate):
    server, stub = started(gate)
    with server:
        gate._lock.close()  # as when the process that holds it is killed
        wait_until(lambda: has_ended(stub))
        server.kill()


def test_it_passes_an_open_gate(gate):
    server, stub = started(gate)
    with server:
        gate.open()
        assert server.stdout.readline() == "passed\n"
        server.kill()


def test_one_whose_server_was_killed_before_it_began_ends_too(gate):
    gone = subprocess.Popen(["true"])
    gone.wait()
    server, stub = started(gate, gone.pid)
    with server:
        wait_until(lambda: has_ended(stub))
        server.kill()
