"""Checks that both graphs do the same work: compares our ranker's scores with those of the stock graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...workflows.tables.ids import rows_of
from .server import StockServer

if TYPE_CHECKING:
    from ...config.pipeline import PipelineConfig
    from ...core.signature import Columns
    from ...ensemble.graph.executor import Executor


@dataclass(frozen=True)
class Agreement:
    """The differences between the scores of both graphs for the same users, contexts and candidates."""

    users: int
    scores: int
    """Number of pairs of a user and an item."""
    logit: float
    """Largest absolute difference of logits."""
    probability: float
    """Largest absolute difference of probabilities."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(
    config: PipelineConfig, artifacts: Mapping[str, Artifact], server: StockServer, users: int = 20, seed: int = 0
) -> Agreement:
    """Request ``users`` users from the stock graph, and score its answers with the exported graph.

    The exported graph reads the pipeline's feature store, so histories that were pushed after the run would differ.
    """
    from ...ensemble.graph.executor import Executor
    from ...evaluation.replay import part_of
    from ...evaluation.served_graph import feature_repo_at, version_folder

    rng = np.random.default_rng(seed)
    drawn = rng.choice(server.served.users, min(users, len(server.served.users)), replace=False)
    answers = [server.recommend(int(user)) for user in drawn]
    ids, probability = (np.stack(part) for part in zip(*answers, strict=True))
    with feature_repo_at(config.feature_store.repo):
        executor = Executor.load(version_folder(artifacts["export"].path))
    columns = {
        **request(executor, drawn, server.served.context),
        "candidate_rows": rows_of(ids, np.load(artifacts["etl"].path / "item_ids.npy")).astype(np.int64),
    }
    logits = part_of(executor, ["logits"], ["candidate_rows"])(columns)["logits"].astype(np.float64)
    theirs = probability.astype(np.float64)
    return Agreement(
        users=len(drawn),
        scores=logits.size,
        logit=float(np.abs(logits - np.log(theirs / (1 - theirs))).max()),
        probability=float(np.abs(1 / (1 + np.exp(-logits)) - theirs).max()),
    )


def request(executor: Executor, users: NDArray[np.int64], context: Mapping[str, Any]) -> Columns:
    """The columns [B, 1] of a request for ``users`` [B] in the given context."""
    values = {"user_id": users, **{name: [value] * len(users) for name, value in context.items()}}
    dtypes = {spec.name: spec.dtype for spec in executor.inputs}
    return {name: np.array(column, dtypes[name])[:, None] for name, column in values.items()}
