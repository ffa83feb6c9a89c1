"""Time gaps of a history: how long before the next more recent item of the user each item was.

The newest item has none before it and has a code of its own, so that nothing depends on the clock of a request. Gaps
are whole seconds in buckets of powers of two: what matters is whether it was seconds, hours or months.
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
"""Code of the newest item; 0 pads, and stands where a time is missing."""
SHORTEST = 2
"""Code of a gap below one second; the code k above it is that of 2^(k - 1) to 2^k - 1 seconds."""
BITS = 27
"""The last bucket: gaps of 2^26 seconds, 2.1 years, and all that are longer."""
CODES = SHORTEST + BITS + 1
"""How many codes there are, padding included."""


@kernel((read(INT64, 2), write(INT32, 2)), (read(INT64, 2), write(INT64, 2)))
def gap_codes(seconds: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Fill ``out`` [B, N] with the codes of the gaps between ``seconds`` [B, N], most recent first.

    MISSING_INT pads, and stands for a time that is not known. An item that seems newer than the one before it counts
    as one of the same time.
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
    """Fill ``out`` [B, N] with the ``times`` [B, any number] of the first N ``rows`` [B, S] that are not ``missing``.

    MISSING_INT comes after them, and where there are fewer times than rows.
    """
    for user in range(len(rows)):
        count = 0
        for column in range(min(rows.shape[1], out.shape[1])):
            if rows[user, column] != missing:
                out[user, count] = times[user, column] if column < times.shape[1] else MISSING_INT
                count += 1
        out[user, count:] = MISSING_INT
