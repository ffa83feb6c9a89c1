"""Requests of any size through a graph that takes a limited number of users at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RequestError
from ..ensemble.graph.executor import Executor

PADDING: Mapping[str, Any] = {"int64": -1, "int32": -1, "float32": 0.0, "float64": float("nan"), "object": None}
"""dtype of a column between the steps -> what fills a row up to the longest of all batches."""


def run_in_batches(
    executor: Executor, request: Mapping[str, NDArray[Any]], keep: Collection[str] = ()
) -> dict[str, NDArray[Any]]:
    """What ``executor.run`` gives for all B rows of ``request``, whatever B is.

    Raises:
        RequestError: there are no users, or as ``Executor.run``.
    """
    _check(request)
    users = len(request["user_id"])
    if users == 0:
        raise RequestError("users: expected at least one user, got none")
    columns = executor.signature
    if isinstance(keep, str) or any(name not in columns for name in keep):
        raise RequestError(f"keep: expected a list of columns, got {keep!r:.60}; there are {', '.join(columns)}")
    size = executor.max_users
    parts = [
        executor.run({name: column[at : at + size] for name, column in request.items()}, keep)[0]
        for at in range(0, users, size)
    ]
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _check(request: Any) -> None:
    """Raise RequestError unless ``request`` has arrays, user_id among them."""
    if not isinstance(request, Mapping) or "user_id" not in request:
        raise RequestError(f"request: expected what release.request gives, with user_id, got {request!r:.60}")
    for name, column in request.items():
        if not isinstance(column, np.ndarray) or column.ndim == 0:
            raise RequestError(f"{name}: expected an array [B, ...], got {column!r:.60}")


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [B, n, ...] below each other, padded to the largest n."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.shape[1] for part in parts)
    if all(part.shape[1] == width for part in parts):
        return np.concatenate(parts)
    return np.concatenate([_padded(part, width) for part in parts])


def _padded(part: NDArray[Any], width: int) -> NDArray[Any]:
    out = np.full((len(part), width, *part.shape[2:]), PADDING[part.dtype.name], dtype=part.dtype)
    out[:, : part.shape[1]] = part
    return out
