"""Time gaps of a history: the time between each item and the user's next, more recent one.

Gaps are whole seconds in buckets of powers of two: seconds, hours and months are told apart. The newest item has a
code for itself, because its gap would depend on the time of the request.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.kernel import (
    INT32,
    INT64,
    kernel,
    read,
    write,
)
from ..transforms.codes import MISSING_INT

NEWEST = 1
"""Code of the newest item; 0 is padding, and a missing time."""
SHORTEST = 2
"""Code of a gap below one second; SHORTEST + k is the code of gaps from 2^(k - 1) to 2^k - 1 seconds."""
BITS = 27
"""SHORTEST + BITS is the last code: gaps of 2^26 seconds (2.1 years) and longer."""
CODES = SHORTEST + BITS + 1
"""The number of codes, with padding."""


@kernel((read(INT64, 2), write(INT32, 2)), (read(INT64, 2), write(INT64, 2)))
def gap_codes(seconds: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Fill ``out`` [B, N] with the gap codes of ``seconds`` [B, N], most recent first.

    MISSING_INT is padding, or an unknown time. A negative gap counts as 0 seconds.
    """
    for row in range(len(seconds)):
        newer = np.int64(MISSING_INT)
        for column in range(seconds.shape[1]):
            own = seconds[row, column]
            code = 0
            if own != MISSING_INT and column == 0:
                code = NEWEST
            elif own != MISSING_INT and newer != MISSING_INT:
                gap, bits = newer - own, 0
                while gap > 0 and bits < BITS:
                    gap, bits = gap >> 1, bits + 1
                code = SHORTEST + bits
            out[row, column] = code
            newer = own


@kernel((read(INT64, 2), read(INT64, 2), INT64, write(INT64, 2)))
def times_of(rows: NDArray[np.int64], times: NDArray[np.int64], missing: int, out: NDArray[np.int64]) -> None:
    """Fill ``out`` [B, N] with the ``times`` [B, T] of the first N ``rows`` [B, S] that are not ``missing``.

    The rest is MISSING_INT, as is the time of a row beyond T.
    """
    for user in range(len(rows)):
        count = 0
        for column in range(min(rows.shape[1], out.shape[1])):
            if rows[user, column] != missing:
                out[user, count] = times[user, column] if column < times.shape[1] else MISSING_INT
                count += 1
        out[user, count:] = MISSING_INT
