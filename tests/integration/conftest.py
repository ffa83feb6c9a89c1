"""A real Triton on free ports, with the miniature release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from redis_process import RedisServer
from waiting import HANG_S

from cascade.ensemble.client import Client
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.server.server import TritonServer


@pytest.fixture(scope="session")
def free() -> ServerConfig:
    """Free ports, one instance whatever the machine, and no standby."""
    return ServerConfig(http_port=0, grpc_port=0, metrics_port=0, instances=1, standby=False)


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
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server.address


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis server of this test, to be stopped and killed; not started."""
    server = RedisServer(tmp_path)
    yield server
    server.kill()
