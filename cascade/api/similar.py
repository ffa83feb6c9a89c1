"""The nearest items of an item, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RequestError
from .answers import SimilarItems

CELLS = 1 << 24
"""Similarities computed at once, 64 MiB of float32."""


def check_top_k(top_k: Any) -> None:
    """Raise RequestError unless ``top_k`` is a whole number of at least 1."""
    if isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)):
        raise RequestError(f"top_k: expected a whole number, got {top_k!r}")
    if top_k < 1:
        raise RequestError(f"top_k: expected at least 1, got {top_k}")


def nearest_items(
    asked: NDArray[Any], item_ids: NDArray[Any], vectors: NDArray[np.float32], top_k: int
) -> SimilarItems:
    """The ``top_k`` nearest other items of each of ``asked``; of equally near ones, that of the lower row comes first.

    Args:
        asked: raw ids [B], int64 or object.
        item_ids: raw ids of all items [n], unique.
        vectors: float32 [n, D], of length 1.
    """
    rows = _rows_of(asked, item_ids)
    near = np.full((len(rows), top_k), -1, np.int64)
    cosine = np.zeros((len(rows), top_k), np.float32)
    known, width = np.flatnonzero(rows >= 0), min(top_k, len(vectors) - 1)
    step = max(1, CELLS // max(1, len(vectors)))
    for at in range(0, len(known), step):
        some = known[at : at + step]
        near[some, :width], cosine[some, :width] = _nearest(rows[some], vectors, width)
    reasons = [_reasons(row, width < top_k) for row in rows]
    return SimilarItems(asked, _ids(near, item_ids), cosine, reasons)


def _nearest(
    rows: NDArray[np.int64], vectors: NDArray[np.float32], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows and cosines [B, k] of the nearest other items of the items ``rows`` [B]."""
    scores = vectors[rows] @ vectors.T
    scores[np.arange(len(rows)), rows] = -np.inf
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


def _rows_of(asked: NDArray[Any], item_ids: NDArray[Any]) -> NDArray[np.int64]:
    """Row of each id [B], -1 where there is none."""
    rows = {item: row for row, item in enumerate(item_ids.tolist())}
    return np.array([rows.get(item, -1) for item in asked.tolist()], dtype=np.int64)


def _ids(rows: NDArray[np.int64], item_ids: NDArray[Any]) -> NDArray[Any]:
    """Raw ids of rows, same shape; -1 or "" where a row is -1."""
    text = item_ids.dtype.kind != "i"
    found = item_ids[np.maximum(rows, 0)].astype(object if text else np.int64)
    found[rows < 0] = "" if text else -1
    return np.asarray(found)


def _reasons(row: int, fewer: bool) -> list[str]:
    if row < 0:
        return ["unknown_item"]
    return ["fewer_items"] if fewer else []
