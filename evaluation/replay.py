"""Sends the test requests through the graph that is served, offline."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from ..core.features import GAP, HISTORY
from ..core.progress import progress
from ..core.signature import Columns, ColumnSpec, Signature
from ..ensemble.graph.executor import Executor
from ..ensemble.graph.ops.base import Op
from ..ensemble.protocol.inputs import Input
from .funnel import fates, sources
from .held_out import HeldOut, draw
from .ranking import RankedRows, labelled
from .ranking_lists import LIST, RECALL_AT, Rows, membership

Settings = Mapping[str, np.generic]
"""Input -> its value in every request."""
EVENT_COLUMNS = {HISTORY: "event_history", GAP: "event_history_gap"}
"""Feature -> column with its value at the time of an impression: int64 [M, N], with the same codes."""
MOST_RANKED = 4_000_000
"""Pairs of user and candidate on which the ranker is measured; of more, those of a random part of the users."""
SEED = 0
TRACED = ("query", "seen_rows", "candidate_rows", "logits", "ranked_rows")
"""Columns between the steps of the graph that the metrics need."""
OF_SOURCES = (HISTORY, "source_rows", "retrieved_sources")
"""Those that a graph with several sources of candidates has beside them."""


@dataclass(frozen=True)
class Replay:
    """The results of U requests, which have P relevant items in total.

    ``queries``: float32 [U, D]. ``seen``: bool [U, n_items], items that are never shown. ``answers``: [U, LIST].
    ``candidates``: the candidates with the ranker's scores, of a random part of the users if there are more than
    `MOST_RANKED`. ``fates``: int64 [P], see `funnel`.

    ``retrieved``: the first candidates [U, at most the largest of `RECALL_AT`], in the order of retrieval.
    ``histories``: int32 [U, N], item codes, newest first; N is 0 where the graph has one source of candidates.
    ``sources``: source -> bool [P], see `funnel.sources`.
    """

    queries: NDArray[np.float32]
    seen: csr_matrix
    answers: Rows
    candidates: RankedRows
    fates: NDArray[np.int64]
    retrieved: Rows
    histories: NDArray[np.int32]
    sources: Mapping[str, NDArray[np.bool_]]


def replay(executor: Executor, held_out: HeldOut, min_score: float, batch_size: int) -> Replay:
    """Request the best ``LIST`` items of each user at temperature 0."""
    parts: list[tuple[Any, ...]] = []
    found: list[dict[str, NDArray[np.bool_]]] = []
    several = all(name in executor.signature for name in OF_SOURCES)
    traced = (*TRACED, *OF_SOURCES) if several else TRACED
    users = len(held_out.rows)
    ranked = np.zeros(users, bool)
    most = int(next(spec.maximum for spec in executor.inputs if spec.name == "top_k") or 1)
    ranked[draw(users, max(1, MOST_RANKED // most), SEED)] = True
    for batch, columns in _run(executor, held_out.columns, _settings(executor), traced, batch_size, "test users"):
        relevant = held_out.relevant[batch]
        pairs = labelled(columns["candidate_rows"], columns["logits"], relevant)
        measured = ranked[batch][pairs[2]]
        logits, label, requests, items = (each[measured] for each in pairs)
        users, events = (of[batch].astype(np.int32)[requests] for of in (held_out.rows, held_out.events))
        found.append(sources(columns, relevant))
        history = columns[HISTORY] if several else np.empty((relevant.shape[0], 0))
        parts.append(
            (
                membership(columns["seen_rows"], relevant.shape[1]),
                *(columns["candidate_rows"][:, : max(RECALL_AT)].copy(), history.astype(np.int32)),
                *(columns["query"], columns["ranked_rows"], fates(columns, relevant, min_score)),
                *(logits, label, users, items, events),
            )
        )
    seen, *rest = zip(*parts, strict=True)
    retrieved, histories, queries, answers, lost, *candidates = map(np.concatenate, rest)
    by_source = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    seen_items, ranked_rows = vstack(seen, format="csr"), RankedRows(*candidates)
    return Replay(queries, seen_items, answers, ranked_rows, lost, retrieved, histories, by_source)


def rank_logged(executor: Executor, logged: Columns, batch_size: int) -> NDArray[np.float32]:
    """The ranker's logit float32 [M] of the item of each logged interaction. Only the steps that lead to it are run.

    Args:
        logged: requests, with the item in ``candidate_rows`` int64 [M, 1]. If it has ``EVENT_COLUMNS``, these replace
            the history of the feature store.
    """
    own = any(column in logged for column in EVENT_COLUMNS.values())
    part = part_of(with_event_history(executor) if own else executor, ["logits"], ["candidate_rows"])
    batches = _run(part, logged, {}, [], batch_size, "impressions")
    return np.concatenate([columns["logits"][:, 0] for _, columns in batches])


@dataclass
class EventHistory(Op):
    """Replaces the stored history [B, N] and its gaps by the request's ``EVENT_COLUMNS``."""

    length: int
    features: Sequence[str]
    """Keys of ``EVENT_COLUMNS``."""

    kind: ClassVar[str] = "event_history"

    @property
    def reads(self) -> Signature:
        return {**self.writes, **{EVENT_COLUMNS[name]: spec for name, spec in self.writes.items()}}

    @property
    def writes(self) -> Signature:
        return dict.fromkeys(self.features, ColumnSpec("int64", (self.length,)))

    def __call__(self, columns: Columns) -> Columns:
        return {name: columns[EVENT_COLUMNS[name]] for name in self.features}


def with_event_history(executor: Executor) -> Executor:
    """The graph with additional inputs: the ``EVENT_COLUMNS`` of its features."""
    features = [name for name in EVENT_COLUMNS if name in executor.signature]
    own = EventHistory(int(executor.signature[HISTORY].dims[0]), features)
    ops: dict[str, Op] = {}
    for node in executor.nodes:
        ops[node.name] = node.op
        if HISTORY in node.op.writes:
            ops[own.kind] = own
    given = [Input(EVENT_COLUMNS[name], spec.dtype, spec.dims, required=True) for name, spec in own.writes.items()]
    return Executor([*executor.inputs, *given], ops, executor.outputs, max_users=executor.max_users)


def event_columns(moment: Mapping[str, Any]) -> dict[str, NDArray[np.int64]]:
    """The ``EVENT_COLUMNS`` [M, N] of M events.

    Args:
        moment: ``Events.moment``.
    """
    return {
        EVENT_COLUMNS[name]: np.asarray(values, np.int64) for name, values in moment.items() if name in EVENT_COLUMNS
    }


def part_of(executor: Executor, outputs: Collection[str], given: Collection[str]) -> Executor:
    """The part of the graph that computes ``outputs`` if the columns ``given`` are part of the request."""
    needed, ops = set(outputs), {}
    for node in reversed(executor.nodes):
        if needed & set(node.op.writes):
            ops[node.name] = node.op
            needed |= set(node.op.reads) - set(given)
    specs = {name: executor.signature[name] for name in given}
    inputs = [*executor.inputs, *(Input(name, spec.dtype, spec.dims, required=True) for name, spec in specs.items())]
    return Executor(inputs, dict(reversed(ops.items())), outputs, max_users=executor.max_users)


def _settings(executor: Executor) -> Settings:
    """Temperature 0 and ``LIST`` items, or as many as the graph allows."""
    most = next(spec.maximum for spec in executor.inputs if spec.name == "top_k")
    values = {"top_k": np.int32(LIST if most is None else min(LIST, most)), "temperature": np.float32(0)}
    return {**values, "seed": np.int64(0)}


def _run(
    executor: Executor, columns: Columns, settings: Settings, keep: Collection[str], batch_size: int, what: str
) -> Iterator[tuple[slice, Columns]]:
    """Run the requests in batches: the slice of each batch, and its columns."""

    total = len(next(iter(columns.values())))
    size = min(batch_size, executor.max_users)
    with progress(total=total, desc=f"evaluating {what}", unit=" requests") as bar:
        for start in range(0, total, size):
            batch = slice(start, min(start + size, total))
            rows = batch.stop - batch.start
            part = {name: column[batch] for name, column in columns.items()}
            same = {name: np.full((rows, 1), value, value.dtype) for name, value in settings.items()}
            yield batch, executor.run(part | same, keep)[0]
            bar.update(rows)
