"""A live release in a store, and users to ask."""

from pathlib import Path

import pytest
from gate_releases import MODEL, GivenUsers, Releases, taken_by_chance

from cascade.ensemble.graph.executor import Executor
from cascade.rollout.gates.requests import HeldOutRequests
from cascade.rollout.releases.store import ReleaseStore
from cascade.testing.miniature import miniature_repository


@pytest.fixture(scope="session")
def live_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live") / "models"
    miniature_repository(folder)
    return folder


@pytest.fixture(scope="session")
def live(live_repository: Path) -> Executor:
    return Executor.load(live_repository / MODEL / "1")


@pytest.fixture(scope="session")
def requests(live: Executor) -> HeldOutRequests:
    return taken_by_chance(live)


@pytest.fixture
def releases(live_repository: Path, requests: HeldOutRequests, tmp_path: Path) -> Releases:
    store = ReleaseStore(tmp_path / "repository", MODEL)
    store.add(live_repository)
    return Releases(store, live_repository, GivenUsers(requests))
