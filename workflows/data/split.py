"""Which interactions train, which validate, which test. Codes: 0 train, 1 valid, 2 test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = ("train", "valid", "test")
TRAIN, VALID, TEST = range(3)


def last_item(
    user_row: NDArray[np.int32], positive: NDArray[np.bool_], validates: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """Each user's last positive tests; where the user validates, the second to last one validates.

    A user's events after a held-out positive go with it, so that nothing later than it is trained on. Users with one
    positive are trained on; users with two have no validation event.

    Args:
        user_row: [n], rows sorted by user, then time.
        positive: [n].
        validates: [n_users], indexed by user_row.

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


def validating_users(n_users: int, share: float, *, seed: int = 0) -> NDArray[np.bool_]:
    """A seeded ``share`` of the users [n_users]."""
    return np.random.default_rng(seed).random(n_users) < share


def drawn_items(n_items: int, share: float, *, seed: int = 0) -> NDArray[np.bool_]:
    """A seeded ``share`` of the items [n_items], at least one."""
    held_out = np.zeros(n_items, bool)
    count = max(1, round(n_items * share))
    held_out[np.random.default_rng([seed, 1]).choice(n_items, count, replace=False)] = True
    return held_out


def new_items(
    user_row: NDArray[np.int32], held_out: NDArray[np.bool_], positive: NDArray[np.bool_], validates: NDArray[np.bool_]
) -> NDArray[np.int8]:
    """All interactions with held-out items test; of the others, the last positive of each user who validates does.

    Args:
        user_row: [n], rows sorted by user, then time.
        held_out: [n], of each row's item.
        positive: [n].
        validates: [n_users], indexed by user_row.

    Returns:
        Codes [n].
    """
    split = np.where(held_out, TEST, TRAIN).astype(np.int8)
    users = user_row[~held_out]
    last = last_item(users, positive[~held_out], np.zeros_like(validates)) == TEST
    split[~held_out] = np.where(last & validates[users], VALID, TRAIN)
    return split


def time_cuts(timestamp: NDArray[np.int64], valid_share: float, test_share: float) -> tuple[int, int]:
    """From which timestamps on validation and test begin; partitions ``timestamp`` [n] in place.

    Equal timestamps stay together, so a part may be smaller than its share.
    """
    first_test = int(len(timestamp) * (1 - test_share))
    first_valid = int(len(timestamp) * (1 - test_share - valid_share))
    timestamp.partition([first_valid, first_test])
    return int(timestamp[first_valid]), int(timestamp[first_test])


def by_time(timestamp: NDArray[np.int64], valid_from: int, test_from: int) -> NDArray[np.int8]:
    """Codes [n] of timestamps [n]."""
    return np.searchsorted([valid_from, test_from], timestamp, side="right").astype(np.int8)


def by_column(table: pa.Table, column: str, *, start: int = 0) -> NDArray[np.int8]:
    """Codes [n] of a column that holds train, valid or test."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pc.index_in(table[column], value_set=pa.array(NAMES))
    if codes.null_count:
        row = int(pc.index(codes.is_null(), True).as_py())
        value = table[column][row].as_py()
        raise DataError(f"interactions.{column}, row {start + row}: {value!r}, expected train, valid or test")
    return np.asarray(codes.to_numpy(), np.int8)
