"""The key of control calls: in the arguments when the process starts, gone when it has read them."""

import subprocess
import sys
from pathlib import Path

import pytest

from cascade.core.errors import ServerError
from cascade.ensemble.server.control_key import hide, key_arguments, new_key

READS = "import sys, time; print(sys.argv[1], flush=True); sys.stdin.read(); print(sys.argv[1], flush=True)"


def test_keys_are_long_and_differ():
    assert len({new_key() for _ in range(100)}) == 100
    assert len(new_key()) >= 32


def test_it_is_overwritten_in_what_others_can_read():
    key = new_key()
    command = [sys.executable, "-c", READS, *key_arguments(key), "another"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert key in process.stdout.readline()
        shown = Path(f"/proc/{process.pid}/cmdline")
        assert key.encode() in shown.read_bytes()
        hide(process.pid, key)
        arguments = shown.read_bytes().split(b"\0")
        assert arguments[3:5] == [argument.encode() for argument in key_arguments("*" * len(key))]
        assert arguments[5] == b"another"
        out, _ = process.communicate()
        assert key in out, "what the program has read stays"


def test_a_key_that_cannot_be_hidden_is_an_error():
    with pytest.raises(ServerError, match="cannot hide the control key in the arguments of process 999999999"):
        hide(999999999, "key")
