"""Histories computed by hand, and compared with a loop."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cascade.workflows.history.history import Histories, Positives, order_positives


def of(users, positive, codes, length, test=None):
    users, positive = np.array(users, np.int32), np.array(positive, bool)
    codes, test = np.array(codes, np.int32), np.zeros(len(users), bool) if test is None else np.array(test)
    first = np.append(0, np.cumsum(np.bincount(users[positive], minlength=users.max(initial=0) + 1)))
    order, end = order_positives(users, positive, test)
    return Histories(Positives(first, codes[order]), users, end, length)


def rows(users, positive, codes, length):
    return np.asarray(of(users, positive, codes, length)).tolist()


def test_by_hand():
    # User 4: positives 11, 12, 14 and a negative 13 between them; user 7 starts with an empty history.
    got = rows([4, 4, 4, 4, 7, 7], [1, 1, 0, 1, 1, 1], [11, 12, 13, 14, 21, 22], 2)
    assert got == [[0, 0], [11, 0], [12, 11], [12, 11], [0, 0], [21, 0]]


def test_longer_than_all_events():
    assert rows([0, 0], [1, 1], [5, 6], 4) == [[0, 0, 0, 0], [5, 0, 0, 0]]


def test_without_a_positive():
    assert rows([0, 0, 1], [0, 0, 0], [5, 6, 7], 2) == [[0, 0]] * 3


def test_no_rows():
    none = of([], [], [], 3)
    assert none.shape == np.asarray(none).shape == (0, 3)


def test_selected_rows_equal_those_of_all():
    some = of([4, 4, 4, 7, 7], [1, 1, 0, 1, 1], [11, 12, 13, 21, 22], 2)
    every = np.asarray(some)
    assert (len(some), some.shape, every.dtype) == (5, (5, 2), np.int32)
    at = np.array([4, 0, 2, 2])
    for chosen in (at, slice(1, 5, 2), every[:, 0] > 0, 3):
        np.testing.assert_array_equal(some[chosen], every[chosen])
        np.testing.assert_array_equal(np.asarray(some.take(chosen)), every[chosen])
    np.testing.assert_array_equal(some.take(at).take(at[1:]), every[at][at[1:]])
    np.testing.assert_array_equal(some[1:, :1], every[1:, :1])
    assert (some[3, 0], np.asarray(some, np.int64).dtype) == (every[3, 0], np.int64)


def naive(users, positive, codes, length):
    found = []
    for i, user in enumerate(users):
        past = [codes[j] for j in range(i) if users[j] == user and positive[j]]
        newest = past[::-1][:length]
        found.append(newest + [0] * (length - len(newest)))
    return found


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(1, 9)), min_size=1), st.integers(1, 6))
def test_equals_a_loop(events, length):
    events.sort(key=lambda event: event[0])
    users, positive, codes = zip(*events, strict=True)
    assert rows(users, positive, codes, length) == naive(users, positive, codes, length)


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 9)), min_size=2), st.data())
def test_never_looks_ahead(events, data):
    """Events at or after an event do not change its history."""
    events.sort(key=lambda event: event[0])
    users, positive, codes = map(list, zip(*events, strict=True))
    at = data.draw(st.integers(0, len(events) - 1))
    before = rows(users, positive, codes, 3)[: at + 1]
    codes[at:] = [99] * len(codes[at:])
    positive[at:] = [not value for value in positive[at:]]
    assert rows(users, positive, codes, 3)[: at + 1] == before


def test_training_histories_contain_no_test_positive():
    """The second of four events is test: later training rows do not contain it, the last test row does, at the end."""
    got = of([0] * 4, [1] * 4, [3, 4, 5, 6], 3, [False, True, False, True])
    assert np.asarray(got).tolist() == [[0, 0, 0], [3, 0, 0], [3, 0, 0], [4, 5, 3]]


def test_a_test_part_at_the_end_of_each_user_changes_nothing():
    events = [0, 0, 1, 1, 1], [1] * 5, [3, 4, 5, 6, 7], 2
    held_out = of(*events, [False, True, False, True, True])
    np.testing.assert_array_equal(np.asarray(held_out), rows(*events))
