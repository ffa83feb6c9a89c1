"""The request graph, written once, in merlin-systems' terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.merlin_env import prepare_merlin
from ...core.signature import Signature
from ..config import ServingConfig
from ..protocol.inputs import RANDOM, Input
from .ops.base import Op

if TYPE_CHECKING:
    from merlin.systems.dag import Ensemble


@dataclass(frozen=True)
class Step:
    """An op and the files that it loads: name inside its folder -> where the file or folder lies now."""

    op: Op
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Steps:
    """The ops of the request path, in the order in which they run."""

    lookup_user: Step
    transform: Step
    encode_query: Step
    retrieve: Step
    drop_seen: Step
    lookup_items: Step
    rank: Step
    order: Step
    respond: Step


def request_inputs(user_ids: str, item_ids: str, contexts: Signature, serving: ServingConfig) -> tuple[Input, ...]:
    """What a request holds.

    Args:
        user_ids: dtype of user ids, "int64" or "object".
        item_ids: dtype of item ids.
        contexts: the raw context columns.
    """
    longest = float(serving.ann.topk)
    return (
        Input("user_id", user_ids, required=True),
        *(Input(name, spec.dtype, spec.dims, missing=True) for name, spec in contexts.items()),
        Input("exclude_items", item_ids, ("E",), missing=True),
        Input("top_k", "int32", default=min(serving.rerank.k, serving.ann.topk), minimum=1, maximum=longest),
        Input("temperature", "float32", default=serving.rerank.temperature, minimum=0),
        Input("seed", "int64", default=RANDOM),
    )


def request_graph(steps: Steps, inputs: Sequence[Input]) -> Ensemble:
    """Request -> user -> features -> query -> candidates -> items -> scores -> list -> answer.

    Raises:
        WiringError: if a step reads a column that nothing before it writes, or writes it otherwise.
    """
    prepare_merlin()
    from merlin.systems.dag import Ensemble

    from .merlin_adapter import Operator, to_schema

    do: Any = {name.name: _operator(getattr(steps, name.name), Operator) for name in fields(steps)}
    contexts = [spec.name for spec in inputs if spec.name in steps.transform.op.reads and spec.name != "user_id"]

    user = ["user_id"] >> do["lookup_user"]
    features = user + ["user_id", *contexts] >> do["transform"]
    query = features >> do["encode_query"]
    retrieved = query + features >> do["retrieve"]
    candidates = retrieved + features >> do["drop_seen"]
    items = candidates + features >> do["lookup_items"]
    scored = features + query + items + candidates >> do["rank"]
    ranked = candidates + items + scored + ["top_k", "temperature", "seed"] >> do["order"]
    answer = ranked + user + ["top_k"] >> do["respond"]
    outputs = answer[["item_ids"]] + ranked[["scores", "propensities"]] + answer[["reasons", "release"]]
    return Ensemble(outputs, to_schema({spec.name: spec.spec for spec in inputs}))


def _operator(step: Step, kind: Any) -> Any:
    return kind(step.op, step.files)
