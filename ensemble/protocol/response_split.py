"""From the outputs of one pass to the answers of the requests that shared it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Columns, Signature

LISTED = "k"
"""The dim of columns that are as wide as the largest top_k of their batch."""


def listed(outputs: Signature) -> frozenset[str]:
    """The outputs that are as wide as the largest top_k."""
    return frozenset(name for name, spec in outputs.items() if spec.dims[:1] == (LISTED,))


def split(
    answer: Columns, users: Sequence[int], cut: frozenset[str], top_k: NDArray[np.int32] | None
) -> Iterator[Columns]:
    """The rows of each request, ``cut`` to its own largest top_k: what it would have got alone.

    Args:
        answer: outputs, [sum of users, ...] each.
        users: rows of each request.
        cut: names of the outputs [B, k].
        top_k: [sum of users, 1]; None where the model has no such input.
    """
    widths = None if top_k is None else top_k[:, 0].tolist()
    start = 0
    for rows in users:
        own = slice(start, start := start + rows)
        width = None if widths is None else max(widths[own])
        yield {name: array[own, :width] if name in cut else array[own] for name, array in answer.items()}
