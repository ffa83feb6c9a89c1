"""Split interactions into train, valid and test, as codes 0, 1 and 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ..tables.rows import ROWS, Rows

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)
GIVEN = {**{name: code for code, name in enumerate(NAMES)}, "validation": VALID}
"""What a column of the source may hold -> the code."""


def last_item(
    user_row: NDArray[np.int32], positive: NDArray[np.bool_], validates: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Leave one out: each user's last positive is test; a validation user's second to last positive is valid.

    A user's later events go with a held-out positive, so that training sees nothing that came after it. The only
    positive of a user stays in training; a user with two has no validation event.

    Args:
        user_row: [n], rows sorted by user, then time.
        positive: [n].
        validates: [n_users], the validation users.

    Returns:
        Codes [n].
    """
    if len(user_row) == 0:
        return np.zeros(0, np.int8)
    total = np.cumsum(positive)
    ends = np.append(np.flatnonzero(np.diff(user_row)), len(user_row) - 1)
    group = np.cumsum(np.append(0, np.diff(user_row) != 0))
    to_come = total[ends][group] - total  # positives of the same user after this row
    count = np.bincount(group, positive).astype(np.int64)[group]
    split = np.zeros(len(user_row), np.int8)
    split[(count >= 3) & validates[user_row] & (to_come < 2)] = VALID
    split[(count >= 2) & (to_come < 1)] = TEST
    return split


def draw_validation_users(n_users: int, share: float, *, seed: int = 0) -> NDArray[np.bool_]:
    """Draw a ``share`` of the users: bool [n_users], the same for the same seed."""
    return np.random.default_rng(seed).random(n_users) < share


def draw_held_out_items(n_items: int, share: float, *, seed: int = 0) -> NDArray[np.bool_]:
    """Draw a ``share`` of the items, at least one: bool [n_items], the same for the same seed."""
    held_out = np.zeros(n_items, bool)
    count = max(1, round(n_items * share))
    held_out[np.random.default_rng([seed, 1]).choice(n_items, count, replace=False)] = True
    return held_out


def new_items(
    user_row: NDArray[np.int32], held_out: NDArray[np.bool_], positive: NDArray[np.bool_], validates: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """All interactions with held-out items are test; the last other positive of each validation user is valid.

    Args:
        user_row: [n], rows sorted by user, then time.
        held_out: [n], whether the row's item is held out.
        positive: [n].
        validates: [n_users], the validation users.

    Returns:
        Codes [n].
    """
    split = np.where(held_out, TEST, TRAIN).astype(np.int8)
    users = user_row[~held_out]
    last = last_item(users, positive[~held_out], np.zeros_like(validates)) == TEST
    split[~held_out] = np.where(last & validates[users], VALID, TRAIN)
    return split


def time_cuts(timestamp: NDArray[np.int64], valid_share: float, test_share: float) -> tuple[int, int]:
    """The first timestamps of valid and of test; reorders ``timestamp`` [n] in place.

    Interactions with equal timestamps stay together, so a split may be smaller or larger than its share.
    """
    first_test = int(len(timestamp) * (1 - test_share))
    first_valid = int(len(timestamp) * (1 - test_share - valid_share))
    timestamp.partition([first_valid, first_test])
    return int(timestamp[first_valid]), int(timestamp[first_test])


def by_time(timestamp: NDArray[np.int64], valid_from: int, test_from: int) -> NDArray[np.int8]:
    """Codes [n] of timestamps [n], given the first timestamps of valid and of test."""
    return np.searchsorted([valid_from, test_from], timestamp, side="right").astype(np.int8)


def by_column(table: pa.Table, column: str, rows: Rows = ROWS) -> NDArray[np.int8]:
    """Codes [n] of a column that holds ``train``, ``valid`` (or ``validation``) or ``test``.

    Args:
        rows: names the table's rows, for messages.

    Raises:
        DataError: naming the row that holds anything else.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    places = pc.index_in(table[column].cast(pa.string()), value_set=pa.array([*GIVEN]))
    if places.null_count:
        row = int(pc.index(places.is_null(), True).as_py())
        value = table[column][row].as_py()
        raise DataError(
            f"interactions.{column}, {rows(row)}: {value!r}, expected train, valid or test, in small letters; correct "
            "it, or name another column in data.split.column"
        )
    return np.asarray(np.array([*GIVEN.values()], np.int8)[places.to_numpy()])


def last_training_positives(
    codes: NDArray[np.int8], user_row: NDArray[np.int32], positive: NDArray[np.bool_], validates: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Codes [n] with a validation part, of ``codes`` [n] without one.

    A validation user's last training positive is valid, with the later training rows; the only one stays in training.

    Args:
        user_row: [n], rows sorted by user, then time.
        positive: [n].
        validates: [n_users], the validation users.
    """
    return new_items(user_row, codes == TEST, positive, validates)
