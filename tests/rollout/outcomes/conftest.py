"""A model with releases, and files of events."""

import random
from pathlib import Path

import pytest

from cascade.rollout.outcomes.event_log import EventLog
from cascade.rollout.releases.live_set import LiveSets


@pytest.fixture
def sets(tmp_path: Path) -> LiveSets:
    """Without any live set yet."""
    (tmp_path / "models" / "shop").mkdir(parents=True)
    return LiveSets(tmp_path / "models", "shop")


@pytest.fixture
def log(sets: LiveSets) -> EventLog:
    return EventLog(sets)


@pytest.fixture(autouse=True)
def the_same_users_in_each_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Salts and keys that are equal in each run: else a test of chances fails by chance."""
    drawn = random.Random(0)
    monkeypatch.setattr("secrets.token_hex", lambda size: drawn.randbytes(size).hex())
