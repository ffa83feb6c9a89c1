"""A trained ranker in TensorFlow again, from its artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...core.artifact import Artifact

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors
    from ..config import DlrmConfig
    from .score_fusion import Ranker


def load_ranker(artifact: Artifact, config: DlrmConfig, tensors: Tensors) -> Ranker:
    """The trained ranker with its fusion weights."""
    from ..retriever.stage import CHECKPOINT
    from ..training.loop import WEIGHTS
    from ..training.rows import Events, item_columns, user_columns
    from .dlrm import build
    from .score_fusion import Fusion, Ranker
    from .transition_features import Followers

    followers = Followers.open(artifact.path, config.transitions)
    dlrm = build(tensors.schema, config, tensors.items, artifact.metrics["train_on"] == "impressions")
    one = Events.of(tensors.interactions("train")).take(np.zeros(1, np.int64))
    items = np.zeros((1, 1), np.int64)
    both = followers.columns(one, items) if followers else {}
    dlrm({**user_columns(tensors, one), **item_columns(tensors, items), **both})  # gives layers shapes
    dlrm.load_weights(str(artifact.path / CHECKPOINT / WEIGHTS))
    return Ranker(dlrm, Fusion.of(artifact.metrics["fusion"]))
