"""The gate before a standby: what waits at it ends with the server that started it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
from waiting import wait_until

from cascade.ensemble.server.start_gate import NAME, StartGate

SERVER = """
import subprocess, sys, time
stub = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE, text=True)
stub.stdout.readline()
print(stub.pid, flush=True)
time.sleep(900)
"""
STUB = """
import sys, threading
sys.path.insert(0, {folder!r})
from model import TritonPythonModel
print("begins", flush=True)
TritonPythonModel().initialize({{}})
threading.Event().wait()
"""


@pytest.fixture
def gate():
    made = StartGate()
    yield made
    made.remove()


def test_a_process_that_waits_ends_when_its_server_is_killed(gate):
    (folder,) = [argument.split("=")[1] for argument in gate.arguments() if "repository" in argument]
    program = STUB.format(folder=f"{folder}/{NAME}/1")
    with subprocess.Popen([sys.executable, "-c", SERVER, program], stdout=subprocess.PIPE, text=True) as server:
        stub = psutil.Process(int(server.stdout.readline()))
        assert stub.is_running()
        os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not stub.is_running() or stub.status() == psutil.STATUS_ZOMBIE)
