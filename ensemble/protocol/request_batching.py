"""Requests joined into one batch for a pass of the graph, and the outputs of the pass split into responses again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RequestError
from ...core.signature import Columns, Signature
from .inputs import Input

CELLS = 1 << 17
"""Largest number of values that a list input may have in one pass, padding included. It keeps one long list from
padding the lists of all other users in the pass."""
TOP_K_DIM = "k"
"""The dim of outputs that are as wide as the largest top_k of their batch."""


class RequestBatcher:
    """Checks requests against the inputs of a model and joins them into batches."""

    def __init__(self, inputs: Sequence[Input], max_users: int) -> None:
        self.max_users = max_users
        self._inputs = {spec.name: spec for spec in inputs}
        self._required = [spec.name for spec in inputs if spec.required]
        self._lists = [spec.name for spec in inputs if any(isinstance(dim, str) for dim in spec.dims)]

    def check(self, columns: Columns) -> int:
        """Check a request, which may leave out inputs that are not required.

        Returns:
            the number of its users.

        Raises:
            RequestError: naming the input, what was expected and what came.
        """
        for name in columns:
            if name not in self._inputs:
                raise RequestError(f"{name}: no input of that name; there are {', '.join(self._inputs)}")
        for name in self._required:
            if name not in columns:
                raise RequestError(f"{name}: is required, and missing")
        first = self._required[0]
        users = len(columns[first]) if columns[first].ndim else 0
        if not 1 <= users <= self.max_users:
            raise RequestError(f"{first}: expected 1 to {self.max_users} users in one call, got {users}")
        for name, array in columns.items():
            self._inputs[name].check(array)
            if len(array) != users:
                raise RequestError(f"{name}: expected {users} rows as in {first}, got {len(array)}")
        return users

    def accept(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """All inputs of one request, checked; inputs that it leaves out have their defaults.

        Raises:
            RequestError: as ``check`` does.
        """
        return self.join([columns], [self.check(columns)])

    def join(self, requests: Sequence[Columns], users: Sequence[int]) -> dict[str, NDArray[Any]]:
        """All inputs of several checked requests, [sum of users, ...] each, with defaults for what is left out."""
        return {
            name: _joined(spec, [columns.get(name) for columns in requests], users)
            for name, spec in self._inputs.items()
        }

    def passes(self, requests: Sequence[Columns], users: Sequence[int]) -> Iterator[slice]:
        """Consecutive requests that fit into one pass: at most ``max_users`` users and ``CELLS`` values of a list."""
        start = total = width = 0
        for at, columns in enumerate(requests):
            own = max((columns[name].shape[1] for name in self._lists if name in columns), default=0)
            total, width = total + users[at], max(width, own)
            if at > start and (total > self.max_users or total * width > CELLS):
                yield slice(start, at)
                start, total, width = at, users[at], own
        if requests:
            yield slice(start, len(requests))


def top_k_outputs(outputs: Signature) -> frozenset[str]:
    """The outputs that are as wide as the largest top_k of their batch."""
    return frozenset(name for name, spec in outputs.items() if spec.dims[:1] == (TOP_K_DIM,))


def split(
    outputs: Columns, users: Sequence[int], cut: frozenset[str], top_k: NDArray[np.int32] | None
) -> Iterator[dict[str, NDArray[Any]]]:
    """The outputs of each request, as wide as if the request had been alone in its pass.

    Args:
        outputs: of the pass, [sum of users, ...] each.
        users: number of users of each request.
        cut: names of the outputs [B, k], which are cut to the largest top_k of their request.
        top_k: [sum of users, 1]; None if the model has no such input.
    """
    widths = None if top_k is None else top_k[:, 0].tolist()
    start = 0
    for rows in users:
        own = slice(start, start := start + rows)
        width = None if widths is None else max(widths[own])
        yield {name: array[own, :width] if name in cut else array[own] for name, array in outputs.items()}


def _joined(spec: Input, parts: Sequence[NDArray[Any] | None], users: Sequence[int]) -> NDArray[Any]:
    if all(part is None for part in parts):
        return spec.filled(sum(users))
    arrays = [spec.filled(rows) if part is None else part for part, rows in zip(parts, users, strict=True)]
    if len(arrays) == 1:
        return arrays[0]
    width = max(array.shape[1] for array in arrays)
    return np.concatenate([spec.widened(array, width) for array in arrays])
