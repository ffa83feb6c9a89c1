"""Which histories the positives of the validation part are asked with."""

from types import SimpleNamespace

import numpy as np

from cascade.models.training.rows import Events, valid_positives
from cascade.workflows.history.history import Histories, Positives

PAST = Positives(np.array([0, 5, 8]), np.array([11, 12, 13, 14, 15, 21, 22, 23], np.int32))
"""User 0 has five positives, user 1 three; the last two of each are the validation part."""
VALID = SimpleNamespace(
    user_row=np.array([0, 0, 1, 1], np.int32), item_row=np.array([3, 4, 5, 6], np.int32), positive=np.ones(4, bool),
    label=np.ones(4, np.float32), labels={}, context={"hour": np.arange(4)[:, None]}, history_gap=None,
    history=Histories(PAST, np.array([0, 0, 1, 1], np.int32), np.array([3, 4, 6, 7]), 4),
)  # fmt: skip
TENSORS = SimpleNamespace(interactions={"valid": VALID}.__getitem__)


def test_at_event_they_know_what_came_just_before():
    got = np.asarray(valid_positives(TENSORS, "at_event").moment["history"])
    assert got.tolist() == [[13, 12, 11, 0], [14, 13, 12, 11], [21, 0, 0, 0], [22, 21, 0, 0]]


def test_before_valid_they_know_what_came_before_the_user_s_first():
    got = valid_positives(TENSORS, "before_valid")
    assert np.asarray(got.moment["history"]).tolist() == [[13, 12, 11, 0]] * 2 + [[21, 0, 0, 0]] * 2
    assert got.item_row.tolist() == [3, 4, 5, 6] and np.asarray(got.moment["hour"])[:, 0].tolist() == [0, 1, 2, 3]


def test_none_stay_none():
    assert len(Events.positives(VALID).take(np.zeros(0, np.int64)).before_first()) == 0
