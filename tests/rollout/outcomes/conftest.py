"""A model with releases, and files of events."""

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
