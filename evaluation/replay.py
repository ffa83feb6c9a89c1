"""Puts the held-out requests to the very graph that is served."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from ..core.features import GAP, HISTORY
from ..core.signature import Columns, ColumnSpec, Signature
from ..ensemble.graph.executor import Executor
from ..ensemble.graph.ops.base import Op
from ..ensemble.protocol.inputs import Input
from .funnel import fates
from .held_out import HeldOut
from .ranking import RankedRows, labelled
from .ranking_lists import LIST, Rows, membership

Settings = Mapping[str, np.generic]
"""Input -> the value that it has in every request."""
EVENT_COLUMNS = {HISTORY: "event_history", GAP: "event_history_gap"}
"""Feature -> the column that holds it for the moment when an impression was logged: int64 [M, N], the same codes."""
TRACED = ("query", "seen_rows", "candidate_rows", "logits", "ranked_rows")


@dataclass(frozen=True)
class Replay:
    """What the graph did for U requests; P relevant items in all.

    ``queries``: float32 [U, D]. ``seen``: bool [U, n_items], what it would not show. ``answers``: [U, LIST].
    ``candidates``: all of them, as the ranker scored them. ``fates``: int64 [P], see `funnel`.
    """

    queries: NDArray[np.float32]
    seen: csr_matrix
    answers: Rows
    candidates: RankedRows
    fates: NDArray[np.int64]


def replay(executor: Executor, held_out: HeldOut, min_score: float, batch_size: int) -> Replay:
    """Ask for the best ``LIST`` items at temperature 0 and keep what the metrics need of the columns between."""
    parts: list[tuple[Any, ...]] = []
    for batch, columns in _run(executor, held_out.columns, _settings(executor), TRACED, batch_size, "test users"):
        relevant = held_out.relevant[batch]
        logits, label, requests, items = labelled(columns["candidate_rows"], columns["logits"], relevant)
        users, events = (of[batch].astype(np.int32)[requests] for of in (held_out.rows, held_out.events))
        parts.append(
            (
                membership(columns["seen_rows"], relevant.shape[1]),
                *(columns["query"], columns["ranked_rows"], fates(columns, relevant, min_score)),
                *(logits, label, users, items, events),
            )
        )
    seen, *rest = zip(*parts, strict=True)
    queries, answers, lost, *candidates = map(np.concatenate, rest)
    return Replay(queries, vstack(seen, format="csr"), answers, RankedRows(*candidates), lost)


def rank_logged(executor: Executor, logged: Columns, batch_size: int) -> NDArray[np.float32]:
    """The ranker's logit float32 [M] for the item of each logged interaction: only the steps that lead to it run.

    Args:
        logged: requests, with the item in ``candidate_rows`` int64 [M, 1]; with ``EVENT_COLUMNS``, those are what the
            user did before: all that the graph has of them.
    """
    own = any(column in logged for column in EVENT_COLUMNS.values())
    part = part_of(with_event_history(executor) if own else executor, ["logits"], ["candidate_rows"])
    batches = _run(part, logged, {}, [], batch_size, "impressions")
    return np.concatenate([columns["logits"][:, 0] for _, columns in batches])


@dataclass
class EventHistory(Op):
    """Puts the request's own ``EVENT_COLUMNS`` in the place of what the store has: the history [B, N] and its gaps."""

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
    """The graph with more inputs: ``EVENT_COLUMNS`` of the features that it has."""
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
    """``EVENT_COLUMNS`` [M, N] of ``Events.moment`` of M events."""
    return {
        EVENT_COLUMNS[name]: np.asarray(values, np.int64) for name, values in moment.items() if name in EVENT_COLUMNS
    }


def part_of(executor: Executor, outputs: Collection[str], given: Collection[str]) -> Executor:
    """The part of the graph that computes ``outputs`` where the columns ``given`` come with the request."""
    needed, ops = set(outputs), {}
    for node in reversed(executor.nodes):
        if needed & set(node.op.writes):
            ops[node.name] = node.op
            needed |= set(node.op.reads) - set(given)
    specs = {name: executor.signature[name] for name in given}
    inputs = [*executor.inputs, *(Input(name, spec.dtype, spec.dims, required=True) for name, spec in specs.items())]
    return Executor(inputs, dict(reversed(ops.items())), outputs, max_users=executor.max_users)


def _settings(executor: Executor) -> Settings:
    """The best ``LIST`` items, or as many as the graph gives, at temperature 0."""
    most = next(spec.maximum for spec in executor.inputs if spec.name == "top_k")
    values = {"top_k": np.int32(LIST if most is None else min(LIST, most)), "temperature": np.float32(0)}
    return {**values, "seed": np.int64(0)}


def _run(
    executor: Executor, columns: Columns, settings: Settings, keep: Collection[str], batch_size: int, what: str
) -> Iterator[tuple[slice, Columns]]:
    from tqdm import tqdm

    total = len(next(iter(columns.values())))
    size = min(batch_size, executor.max_users)
    with tqdm(total=total, desc=f"evaluating {what}", unit=" requests", disable=None) as bar:
        for start in range(0, total, size):
            batch = slice(start, min(start + size, total))
            rows = batch.stop - batch.start
            part = {name: column[batch] for name, column in columns.items()}
            same = {name: np.full((rows, 1), value, value.dtype) for name, value in settings.items()}
            yield batch, executor.run(part | same, keep)[0]
            bar.update(rows)
