"""What importing Merlin sets in the environment does not reach the processes that are started afterwards."""

import os
import sys

import pytest

from cascade.core import merlin_env
from cascade.core.merlin_env import PROTOBUF, restore_protobuf
from cascade.ensemble.server.runtime import Runtime
from cascade.pipeline.launch import launch


@pytest.mark.parametrize("given", [None, "python"])
def test_the_environment_is_the_one_that_was_given(given, monkeypatch):
    monkeypatch.setattr(merlin_env, "_GIVEN", given)
    monkeypatch.setenv(PROTOBUF, "of Merlin")
    restore_protobuf()
    assert os.environ.get(PROTOBUF) == given
    restore_protobuf()
    assert os.environ.get(PROTOBUF) == given


def test_servers_and_workers_have_it_too(monkeypatch, tmp_path):
    monkeypatch.setattr(merlin_env, "_GIVEN", None)
    monkeypatch.setenv(PROTOBUF, "of Merlin")
    assert PROTOBUF not in Runtime(tmp_path, tmp_path, (), tmp_path).environment()
    monkeypatch.setenv(PROTOBUF, "of Merlin")
    code = f"import os, sys; sys.exit({PROTOBUF!r} in os.environ)"
    monkeypatch.setattr("cascade.pipeline.launch.COMMAND", [sys.executable, "-c", code])
    assert launch(2, []) == 0
