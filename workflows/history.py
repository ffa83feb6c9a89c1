"""User history: the last positives before each event, without looking ahead."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def histories(
    user_row: NDArray[np.int32], positive: NDArray[np.bool_], code: NDArray[np.int32], length: int
) -> NDArray[np.int32]:
    """For each event the codes of its user's last ``length`` positives strictly before it, most recent first.

    "Before" is the order of the rows: events with equal timestamps are in file order.

    Args:
        user_row: [n], each user's rows together, in order of time.
        positive: [n].
        code: [n], code of each event's item.

    Returns:
        [n, length], zero-padded at the end.
    """
    positions = np.flatnonzero(positive)
    before: NDArray[np.int64] = np.cumsum(positive) - positive
    starts = np.flatnonzero(np.diff(user_row, prepend=user_row[:1] - 1))
    group = np.cumsum(np.diff(user_row, prepend=user_row[:1]) != 0)
    first: NDArray[np.int64] = before[starts][group]
    wanted = before[:, None] - 1 - np.arange(length)
    codes = np.append(code[positions], 0).astype(np.int32)
    return np.where(wanted >= first[:, None], codes[np.maximum(wanted, 0)], np.int32(0))


def known_histories(
    user_row: NDArray[np.int32],
    positive: NDArray[np.bool_],
    code: NDArray[np.int32],
    test: NDArray[np.bool_],
    length: int,
) -> NDArray[np.int32]:
    """``histories`` in which what is trained on has no test positive, even where the split is not one by time.

    Args:
        test: bool [n], the test part; its own histories hold everything before.
    """
    every = histories(user_row, positive, code, length)
    if not (test[:-1] & ~test[1:] & (user_row[:-1] == user_row[1:])).any():
        return every  # nothing follows a test row but the test part
    return np.where(test[:, None], every, histories(user_row, positive & ~test, code, length))
