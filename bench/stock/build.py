"""Builds a model repository of the stock ensemble from the artifacts of a pipeline."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.errors import ConfigError

if TYPE_CHECKING:
    from ...config.pipeline import PipelineConfig
    from .tables import StockTables

MODEL = "executor_model"
"""merlin-systems' name of the model that clients call."""


@dataclass(frozen=True)
class StockEnsemble:
    """A model repository of the stock ensemble, and how to send it requests.

    merlin-systems writes absolute paths into it, so it cannot be moved.
    """

    repository: Path
    users: NDArray[np.int64]
    """The users that it can answer, those with a history. Requests for others fail."""
    context: Mapping[str, Any]
    """The context of every request."""
    candidates: int
    """Number of items that are ranked for a user."""
    shown: int
    """Number of items in an answer."""
    index: str
    """Type of the FAISS index."""
    model: str = MODEL
    input: str = "user_id"
    """The only input: int64 [1], one user."""
    outputs: tuple[str, str] = ("ordered_ids", "ordered_scores")
    """Raw ids int64 [1, shown] and probabilities float32 [1, shown]."""

    @property
    def models(self) -> list[str]:
        """The models that must be loaded."""
        return sorted(file.parent.name for file in self.repository.glob("*/config.pbtxt"))


def check_config(config: PipelineConfig) -> None:
    """Check the config before anything is measured.

    Raises:
        ConfigError: if a key has a value that the stock graph does not support.
    """
    if "item_id" in config.etl.hash_buckets:
        raise ConfigError(
            "etl.hash_buckets.item_id: the stock graph encodes a history by the vocabulary of item_id, expected one, "
            f"but it is hashed into {config.etl.hash_buckets['item_id']} buckets: leave the key out to compare"
        )
    if config.dlrm_ranker.transitions.last:
        raise ConfigError(
            "dlrm_ranker.transitions.last: merlin-systems has no operator that looks transitions up, expected 0, got "
            f"{config.dlrm_ranker.transitions.last}"
        )


def build(config: PipelineConfig, artifacts: Mapping[str, Artifact], folder: Path) -> StockEnsemble:
    """Build the stock ensemble of these artifacts in ``folder``, which is emptied first.

    Raises:
        ConfigError: if the stock operators do not support the pipeline's columns or models.
    """
    from ...models.retriever.neighbours import FILE as NEIGHBOURS
    from ...models.retriever.stage import CHECKPOINT
    from .tables import stock_tables

    check_config(config)
    if not (artifacts["ranker"].path / CHECKPOINT).is_dir():
        raise ConfigError("compare: the stock ensemble needs the models' checkpoints; a widened catalogue has none")
    if (artifacts["two_tower"].path / NEIGHBOURS).is_file():
        raise ConfigError(
            "two_tower.neighbours, two_tower.popular: merlin-systems has no operator that adds item-item weights or "
            f"popularity to the scores, expected 0 and 0, got {config.two_tower.neighbours} and "
            f"{config.two_tower.popular}: set both to 0 and run the pipeline again to compare"
        )
    folder = folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tables = stock_tables(artifacts)
    with redirect_stdout(sys.stderr):  # Feast reports its progress there
        return _build(config, artifacts, folder, tables)


def _build(
    config: PipelineConfig, artifacts: Mapping[str, Artifact], folder: Path, tables: StockTables
) -> StockEnsemble:
    from .feast_repo import write_repo
    from .graph import stock_graph
    from .index import write_index
    from .repository import export
    from .saved_models import save_models
    from .workflows import item_workflow, user_workflow

    etl, repo = artifacts["etl"].path, folder / "feast"
    write_repo(repo, [tables.users, tables.items])
    ids, vectors = np.load(etl / "item_ids.npy"), np.load(artifacts["index"].path / "item_vectors.npy")
    candidates = min(config.serving.ann.topk, len(ids))
    shown = min(config.serving.rerank.k, candidates)
    kind = write_index(folder / "index.faiss", ids, vectors, candidates)
    graph = stock_graph(
        repo,
        (tables.users, user_workflow(etl, tables.users, folder / "vocabulary")),
        (tables.items, item_workflow(etl, tables.items)),
        save_models(folder / "models", artifacts, config.dlrm_ranker),
        folder / "index.faiss",
        candidates,
        shown,
    )
    export(graph, folder / "repository")
    users = tables.users.rows["user_id"].to_numpy()
    return StockEnsemble(folder / "repository", users, tables.context, candidates, shown, kind)
