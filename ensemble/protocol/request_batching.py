"""From requests to the columns of one pass: each is checked on its own, then they are joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RequestError
from ...core.signature import Columns
from .inputs import Input

CELLS = 1 << 17
"""Most padded values of a varying input in one pass, so that one long list does not make all others pay for it."""


class Intake:
    """What the inputs of a model accept."""

    def __init__(self, inputs: Sequence[Input], max_users: int) -> None:
        self.max_users = max_users
        self._inputs = {spec.name: spec for spec in inputs}
        self._required = [spec.name for spec in inputs if spec.required]
        self._varying = [spec.name for spec in inputs if any(isinstance(dim, str) for dim in spec.dims)]

    def check(self, columns: Columns) -> int:
        """Check a request, which may leave out what is not required.

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
        """The inputs of one request, checked and filled in.

        Raises:
            RequestError: as ``check`` does.
        """
        return self.join([columns], [self.check(columns)])

    def join(self, requests: Sequence[Columns], users: Sequence[int]) -> dict[str, NDArray[Any]]:
        """All inputs, [sum of users, ...] each, of checked requests; what they leave out is filled in."""
        return {
            name: _joined(spec, [columns.get(name) for columns in requests], users)
            for name, spec in self._inputs.items()
        }

    def passes(self, requests: Sequence[Columns], users: Sequence[int]) -> Iterator[slice]:
        """Neighbours that fit into one pass: at most ``max_users`` users, and not too much padding."""
        start = total = width = 0
        for at, columns in enumerate(requests):
            own = max((columns[name].shape[1] for name in self._varying if name in columns), default=0)
            total, width = total + users[at], max(width, own)
            if at > start and (total > self.max_users or total * width > CELLS):
                yield slice(start, at)
                start, total, width = at, users[at], own
        if requests:
            yield slice(start, len(requests))


def _joined(spec: Input, parts: Sequence[NDArray[Any] | None], users: Sequence[int]) -> NDArray[Any]:
    if all(part is None for part in parts):
        return spec.filled(sum(users))
    arrays = [spec.filled(rows) if part is None else part for part, rows in zip(parts, users, strict=True)]
    if len(arrays) == 1:
        return arrays[0]
    width = max(array.shape[1] for array in arrays)
    return np.concatenate([spec.widened(array, width) for array in arrays])
