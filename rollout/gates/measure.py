"""Asks a release the requests of held-out users, offline, and keeps what the gates judge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Columns
from ...ensemble.graph.executor import Executor
from ...ensemble.graph.ops import Respond
from ...evaluation.ranking_lists import LIST
from .mapped_pages import let_go
from .requests import HeldOutRequests

Places = NDArray[np.int64]
"""Numbers of items in the catalogue of both releases, -1 for none."""
BATCH = 256
"""Requests answered at once; changes the speed only."""
KEPT = ("query", "candidate_rows", "logits", "history_ids", "rejected_ids")
"""Columns between the steps of the graph."""


@dataclass(frozen=True)
class MeasuredRelease:
    """What a release answered to U requests for ``asked`` items at temperature 0."""

    item_ids: NDArray[Any]
    """[n] raw ids, its own catalogue."""
    asked: int
    answers: Places
    """[U, asked], best first."""
    scores: NDArray[np.float32]
    """[U, asked], probabilities."""
    seen: NDArray[np.bool_]
    """[U, asked], whether the user had the item before; False where such items may be shown."""
    candidates: Places
    """[U, K]."""
    logits: NDArray[np.float32]
    """[U, K], the score of each candidate."""
    queries: NDArray[np.float32]
    """[U, D], vectors of the requests."""


def item_ids_of(executor: Executor) -> NDArray[Any]:
    """[n] raw ids of a release's items."""
    found: NDArray[Any] = next(node.op.item_ids for node in executor.nodes if isinstance(node.op, Respond))
    return found


def catalogue_of(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """All ids of several arrays, ascending; as text if some are text."""
    found: list[NDArray[Any]] = [np.asarray(part) for part in parts]
    if len({part.dtype.kind for part in found}) > 1:
        found = [part.astype(str) for part in found]
    every: NDArray[Any] = np.unique(np.concatenate(found))
    return every


def places(ids: NDArray[Any], catalogue: NDArray[Any]) -> Places:
    """The place of each id in ``catalogue``, in the shape of ``ids``; -1 for what is not in it."""
    if catalogue.dtype.kind == "U":
        ids = ids.astype(str)
    at = np.minimum(np.searchsorted(catalogue, ids), len(catalogue) - 1)
    found: Places = np.where(catalogue[at] == ids, at, -1).astype(np.int64)
    return found


def measure(executor: Executor, requests: HeldOutRequests, catalogue: NDArray[Any]) -> MeasuredRelease:
    """Send the requests through a release.

    Args:
        executor: the release, with a lookup that reads users as they were before the test part.
        catalogue: ids of the items of both releases, ascending.

    Raises:
        CascadeError: it cannot answer.
    """
    own = places(item_ids_of(executor), catalogue)
    asked = int(asked_of(executor))
    repeated = any(getattr(node.op, "keep_seen", False) for node in executor.nodes)
    parts = list[tuple[NDArray[Any], ...]]()
    for start in range(0, len(requests), size := min(BATCH, executor.max_users)):
        found = executor.run(columns_for(executor, requests, slice(start, start + size)), KEPT)[0]
        answers = places(found["item_ids"], catalogue)
        had = [found["rejected_ids"]] if repeated else [found["history_ids"], found["rejected_ids"]]
        seen = np.concatenate([places(ids, catalogue) for ids in had], axis=1)
        rows = found["candidate_rows"]
        parts.append(
            (
                *(answers, found["scores"], _any_of(answers, seen)),
                *(np.where(rows >= 0, own[rows], -1), found["logits"], found["query"]),
            )
        )
        let_go()  # else the tables of both releases would be in memory at the end
    joined = [_joined(column) for column in zip(*parts, strict=True)]
    return MeasuredRelease(item_ids_of(executor), asked, *joined)


def asked_of(executor: Executor) -> np.int32:
    """The length of the lists that are measured, or as many items as the release gives."""
    most = next(spec.maximum for spec in executor.inputs if spec.name == "top_k")
    return np.int32(LIST if most is None else min(LIST, int(most)))


def columns_for(executor: Executor, requests: HeldOutRequests, batch: slice | NDArray[np.int64]) -> Columns:
    """The columns of some requests, as far as a release takes them, and the settings: best items, temperature 0."""
    taken = [spec for spec in executor.inputs if spec.name in requests.columns]
    columns = {spec.name: requests.columns[spec.name][batch].astype(spec.dtype) for spec in taken}
    count = len(next(iter(columns.values())))
    settings: dict[str, np.generic] = {"top_k": asked_of(executor), "temperature": np.float32(0), "seed": np.int64(0)}
    return columns | {name: np.full((count, 1), value, value.dtype) for name, value in settings.items()}


def _any_of(answers: Places, lists: Places) -> NDArray[np.bool_]:
    """Whether each item [B, k] is in the list of its row [B, S]."""
    found: NDArray[np.bool_] = ((answers[:, :, None] == lists[:, None, :]) & (answers[:, :, None] >= 0)).any(axis=2)
    return found


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Parts [B, W] below each other. A batch may have fewer candidates than others: -1 and -inf fill it up."""
    width = max(part.shape[1] for part in parts)
    fill = {"i": -1, "f": -np.inf}.get(parts[0].dtype.kind, 0)
    padded = [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=fill) for part in parts]
    return np.concatenate(padded)
