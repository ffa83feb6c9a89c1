"""Splits compared with results computed by hand."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.config import SplitConfig
from cascade.workflows.data.split import (
    NAMES,
    by_column,
    by_time,
    draw_held_out_items,
    draw_validation_users,
    last_item,
    last_training_positives,
    new_items,
    time_cuts,
)
from cascade.workflows.tables.rows import Rows


def split(users, positive, validates):
    codes = last_item(np.array(users, np.int32), np.array(positive, bool), np.array(validates, bool))
    return "".join(NAMES[code][:2] for code in codes)


def test_last_positive_tests_and_the_one_before_validates():
    assert split([0, 0, 0, 0], [1, 1, 1, 1], [True]) == "trtrvate"
    assert split([0, 0, 0, 0], [1, 1, 1, 1], [False]) == "trtrtrte"


def test_what_follows_a_held_out_positive_goes_with_it():
    # A negative follows the second to last positive, another one the last.
    assert split([0] * 6, [1, 0, 1, 0, 1, 0], [True]) == "trtrvavatete"
    assert split([0] * 6, [1, 0, 1, 0, 1, 0], [False]) == "trtrtrtrtete"


def test_users_with_few_positives():
    assert split([0, 1, 1, 2], [1, 1, 1, 0], [True] * 3) == "trtrtetr"


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=30),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_one_positive_each_and_nothing_later_in_training(events, validates):
    events.sort(key=lambda event: event[0])
    users, positive = (np.array(column) for column in zip(*events, strict=True))
    codes = last_item(users.astype(np.int32), positive.astype(bool), np.array(validates))
    for user in set(users.tolist()):
        own, marks = codes[users == user], positive[users == user].astype(bool)
        assert (np.diff(own) >= 0).all()
        assert ((own == 2) & marks).sum() == (marks.sum() >= 2)
        assert ((own == 1) & marks).sum() == (marks.sum() >= 3 and validates[user])


def test_validation_users_are_a_fixed_share():
    first = draw_validation_users(10_000, 0.2)
    assert abs(first.mean() - 0.2) < 0.02
    assert (first == draw_validation_users(10_000, 0.2)).all()


def test_time_shares_keep_equal_timestamps_together():
    stamps = np.array([9, 1, 2, 3, 4, 5, 6, 7, 8, 8])
    cuts = time_cuts(stamps.copy(), valid_share=0.2, test_share=0.2)
    assert cuts == (7, 8)
    assert by_time(stamps, *cuts).tolist() == [2, 0, 0, 0, 0, 0, 0, 1, 2, 2]


def test_shares_must_leave_something_to_train_on():
    with pytest.raises(ValueError, match="must leave something to train on, are 0.5 \\+ 0.5"):
        SplitConfig(by="time", valid_share=0.5, test_share=0.5)


def test_given_column():
    table = pa.table({"part": ["test", "train", "valid", "validation"]})
    assert by_column(table, "part").tolist() == [2, 0, 1, 1]
    with pytest.raises(
        DataError, match=r"interactions.part, row 11: 'dev', expected train, valid or test, in small letters"
    ):
        by_column(pa.table({"part": ["test", "dev"]}), "part", Rows(10))
    with pytest.raises(DataError, match=r"interactions.part, row 1: None, expected train, valid or test"):
        by_column(pa.table({"part": ["test", None]}), "part")
    with pytest.raises(DataError, match=r"interactions.part, row 0: 1, expected train, valid or test"):
        by_column(pa.table({"part": [1, 2]}), "part")


def test_a_validation_part_is_cut_from_training_alone():
    """Users 0 and 1 are validation users; user 1 has one training positive, user 2 is no validation user."""
    users = np.array([0, 0, 0, 0, 1, 1, 2, 2], np.int32)
    given = np.array([0, 0, 2, 0, 0, 2, 0, 0], np.int8)
    positive = np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)
    codes = last_training_positives(given, users, positive, np.array([True, True, False]))
    assert "".join(NAMES[code][:2] for code in codes) == "trvatevatrtetrtr"


def test_new_items_take_all_their_interactions_out_of_training():
    """Items of user 0: old, new, old, old; of user 1: old, new. Users 0 and 1 are validation users, 2 is not."""
    users = np.array([0, 0, 0, 0, 1, 1, 2, 2], np.int32)
    held_out = np.array([0, 1, 0, 0, 0, 1, 0, 0], bool)
    positive = np.array([1, 1, 1, 0, 1, 1, 1, 1], bool)
    codes = new_items(users, held_out, positive, np.array([True, True, False]))
    assert "".join(NAMES[code][:2] for code in codes) == "trtevavatrtetrtr"


def test_a_user_s_only_positive_stays_in_training():
    codes = new_items(np.zeros(3, np.int32), np.array([1, 1, 0], bool), np.ones(3, bool), np.array([True]))
    assert [NAMES[code] for code in codes] == ["test", "test", "train"]


def test_items_are_drawn_by_a_seed():
    drawn = draw_held_out_items(1000, 0.1)
    assert drawn.sum() == 100 and (drawn == draw_held_out_items(1000, 0.1)).all()
    assert (drawn != draw_held_out_items(1000, 0.1, seed=1)).any()
    assert draw_held_out_items(3, 0.01).sum() == 1
