"""A real Triton on free ports, with the miniature release."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from waiting import HANG_S, wait_until

from cascade.ensemble.client import Client
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server.server import TritonServer


@pytest.fixture(scope="session")
def free() -> ServerConfig:
    """Free ports, and one instance whatever the machine."""
    return ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=1)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature's model repository, ids are numbers; not to be changed."""
    from cascade.testing.miniature import miniature_repository

    folder = tmp_path_factory.mktemp("numbers") / "models"
    miniature_repository(folder)
    return folder


@pytest.fixture(scope="session")
def string_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with ids of text."""
    from cascade.testing.miniature import miniature_repository

    folder = tmp_path_factory.mktemp("strings") / "models"
    miniature_repository(folder, string_ids=True)
    return folder


@pytest.fixture(scope="module")
def server(repository: Path, free: ServerConfig) -> Iterator[TritonServer]:
    with TritonServer(repository, "cascade", feature_repo=repository, config=free) as running:
        yield running


@pytest.fixture
def client(server: TritonServer) -> Iterator[Client]:
    with Client(server.grpc_url, timeout=HANG_S) as connected:
        yield connected


@pytest.fixture
def nothing_left() -> Iterator[Callable[[], None]]:
    """A check that nothing has come since the test began: no process, no file in /dev/shm; made at the end anyway."""
    processes, files = _children(), _shared()

    def check() -> None:
        assert _children() <= processes
        assert _shared() <= files

    yield check
    check()


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _shared() -> set[Path]:
    """What servers of this process keep; other test workers have theirs."""
    return set(Path("/dev/shm").glob(f"cascade_{psutil.Process().pid}_*"))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server of its own, as Feast's connection string."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    server = subprocess.Popen(command, cwd=tmp_path_factory.mktemp("redis"), stdout=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(HANG_S)


def _wait_for(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens)
