"""A real redis-server, to be started, frozen and killed, and a user of the miniature in it."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

import mmh3
import pytest
import redis
from feast.protos.feast.types.Value_pb2 import Value
from waiting import HANG_S, wait_until

from cascade.core.processes import end_with_parent
from cascade.ensemble.graph.ops.lookup_user import LookupUser
from cascade.workflows.features.online import entity_key

USER = 105
VIEWS = {"user_profile": ["gender"], "user_history": ["history_ids", "rejected_ids"]}


_LARGEST_PORT = 55_535
"""One of a cluster listens on a port larger by 10,000 as well."""


class RedisServer:
    """A redis-server that keeps nothing on disk, on a free port that stays its own. Use as a context manager.

    Args:
        options: further arguments of redis-server.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = _free_port()
        while self.port > _LARGEST_PORT:
            self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._folder, self._options = folder, options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, empty, and return when it accepts connections."""
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed: apt-get install redis-server")
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command = [*end_with_parent(), *command, *self._options]  # workers of a suite may be killed
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=subprocess.DEVNULL)
        wait_until(self._listens)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, even if it is stopped; nothing happens if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(HANG_S)
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_user(server: RedisServer) -> None:
    """The row of USER, a woman who had item 1003, as Feast writes it."""
    history = Value()
    history.int64_list_val.val.append(1003)
    values = {"user_profile:gender": Value(string_val="F"), "user_history:history_ids": history}
    fields: dict[bytes, bytes] = {f"_ts:{view}".encode(): b"\x08\x01" for view in VIEWS}
    for name, value in values.items():
        fields[mmh3.hash(name, signed=False).to_bytes(4, "little")] = value.SerializeToString()
    with redis.Redis(port=server.port) as client:
        client.hset(entity_key("user_id", USER) + b"mini", mapping=fields)  # type: ignore[arg-type]


def lookup(server: RedisServer, *, retry: float, timeout: float = 2.0) -> LookupUser:
    """The step that reads users from it. The time-out is long, so that a busy machine does not exceed it."""
    columns = {"gender": "string"}
    return LookupUser("mini", columns, "int", "int", 5, VIEWS, "redis", server.address, timeout=timeout, retry=retry)
