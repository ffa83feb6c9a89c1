"""The path of a request, written once as a merlin-systems graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

from ...core.merlin_env import prepare_merlin
from ...core.signature import ColumnSpec, Signature
from ..config import ServingConfig
from ..protocol.arms import ARM
from ..protocol.inputs import RANDOM, Input
from .ops.base import Op

if TYPE_CHECKING:
    from merlin.systems.dag import Ensemble


@dataclass(frozen=True)
class Step:
    """An op and the files that it loads: name inside its folder -> where the file or folder is now."""

    op: Op
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The steps of a request, in the order in which they run."""

    lookup_user: Step
    transform: Step
    encode_query: Step
    retrieve: Step
    merge_neighbours: Step | None = None
    """Only where the retriever has item-item weights."""
    drop_seen: Step
    lookup_items: Step
    rank: Step
    order: Step
    respond: Step

    @property
    def named(self) -> dict[str, Step]:
        """Name -> step of those that the graph has."""
        return {name: step for name, step in vars(self).items() if step is not None}


def request_graph(steps: Steps, inputs: Sequence[Input]) -> Ensemble:
    """Look the user up, transform the features, encode the query, retrieve items, merge those that the history's
    neighbours add, drop those that the user has seen, look the candidates up, rank them, order the list, respond.

    In merlin's notation ``a + b >> op`` is an op that reads columns of a and of b.

    Raises:
        WiringError: if a step reads a column that no earlier step writes, or that has another dtype or rank.
    """
    prepare_merlin()
    from merlin.systems.dag import Ensemble

    from .merlin_adapter import Operator, to_schema

    run: Any = SimpleNamespace(**{name: Operator(step.op, step.files) for name, step in steps.named.items()})
    context = [spec.name for spec in inputs if spec.name in steps.transform.op.reads and spec.name != "user_id"]

    user = ["user_id"] >> run.lookup_user
    features = user + ["user_id", *context] >> run.transform
    query = features >> run.encode_query
    retrieved = query + features >> run.retrieve
    if steps.merge_neighbours:
        retrieved = retrieved + query + features >> run.merge_neighbours
    candidates = retrieved + features >> run.drop_seen
    items = candidates + features >> run.lookup_items
    scores = features + query + items + candidates >> run.rank
    ranked = candidates + items + scores + ["top_k", "temperature", "seed"] >> run.order
    answer = ranked + user + ["top_k"] >> run.respond

    outputs = answer[["item_ids"]] + ranked[["scores", "propensities"]] + answer[["reasons", "release", ARM]]
    return Ensemble(outputs, to_schema({spec.name: spec.spec for spec in inputs}))


def request_inputs(
    user_ids: str,
    item_ids: str,
    contexts: Signature,
    serving: ServingConfig,
    limits: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> tuple[Input, ...]:
    """The inputs of a request.

    Args:
        user_ids: dtype of user ids, "int64" or "object".
        item_ids: dtype of item ids.
        contexts: the raw context columns.
        limits: context column -> its least and its largest value.
    """
    longest = float(serving.ann.topk)
    return (
        Input("user_id", user_ids, required=True),
        *(_context(name, spec, limits.get(name)) for name, spec in contexts.items()),
        Input("exclude_items", item_ids, ("E",), missing=True),
        Input("top_k", "int32", default=min(serving.rerank.k, serving.ann.topk), minimum=1, maximum=longest),
        Input("temperature", "float32", default=serving.rerank.temperature, minimum=0),
        Input("seed", "int64", default=RANDOM),
    )


def _context(name: str, spec: ColumnSpec, limits: tuple[float, float] | None) -> Input:
    low, high = limits if limits and spec.dtype == "float64" else (None, None)
    return Input(name, spec.dtype, spec.dims, minimum=low, maximum=high, missing=True)
