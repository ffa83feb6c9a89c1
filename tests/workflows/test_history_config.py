"""How many items of a history are read."""

import pytest

from cascade.workflows.config import HistoryConfig


@pytest.mark.parametrize(
    ("given", "sequence", "set_"),
    [({}, 50, 200), ({"length": 20}, 20, 20), ({"seen": 100}, 50, 100), ({"length": 300}, 300, 300)],
)
def test_a_set_is_longer_by_default(given, sequence, set_):
    config = HistoryConfig(**given)
    assert (config.items(ordered=True), config.items(ordered=False)) == (sequence, set_)
