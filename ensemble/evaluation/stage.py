"""The evaluation stage: metrics.json and report.html."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.stage import Sections, Stage
from ..ops.lookup_user import REPO_VARIABLE
from .baselines import evaluate_baselines
from .funnel import summary
from .held_out import HeldOut, LoggedTest
from .ranking import ranking_metrics
from .ranking_lists import RECALL_AT, list_metrics, retrieval_metrics
from .replay import Replay, rank_logged, replay
from .report import render
from .retrieval import exact_top

if TYPE_CHECKING:
    from ...workflows.config import FeatureStoreConfig
    from ..config import EvaluationConfig, ServingConfig

METRICS = "metrics.json"
REPORT = "report.html"


def _fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write metrics.json and report.html. User features come from the live feature store, as when serving."""
    from ...workflows.tensors import Tensors
    from ..executor import Executor

    config: EvaluationConfig = sections["evaluation"]  # type: ignore[assignment]
    serving: ServingConfig = sections["serving"]  # type: ignore[assignment]
    store: FeatureStoreConfig = sections["feature_store"]  # type: ignore[assignment]
    tensors = Tensors.load(parents["etl"].path)
    logged = LoggedTest.read(parents["data"].path, tensors.user_ids, tensors.item_ids)
    with feature_repo(store.repo):
        executor = Executor.load(exported(parents["export"].path))
        inputs = {spec.name: spec.spec for spec in executor.inputs}
        held_out = logged.users_held_out(inputs, config.max_users, config.seed)
        run = replay(executor, held_out, serving.thresholds.min_score, config.batch_size)
        logits, label = run.logits, run.labels
        if parents["ranker"].metrics["train_on"] == "impressions":
            shown, label = logged.impressions(inputs, config.max_users, config.seed)
            logits = rank_logged(executor, shown, config.batch_size)
    vectors = np.load(parents["index"].path / "item_vectors.npy", mmap_mode="r")
    results = _results(held_out, run, vectors, tensors.before_test(), config.batch_size)
    results["ranking"] = ranking_metrics(logits, label)
    results = {name: results[name] for name in ("retrieval", "ranking", "cascade", "funnel", "baselines")}
    (folder / METRICS).write_text(json.dumps(results, indent=1))
    facts = {"release": executor.release["release"], "test users": f"{len(held_out.rows):,}"}
    facts |= {"items": f"{len(vectors):,}", "relevant items": f"{len(run.fates):,}", "ranked rows": f"{len(label):,}"}
    (folder / REPORT).write_text(render(results, facts, logits, label))
    return results


def exported(artifact: Path) -> Path:
    """The version folder in an export artifact."""
    return next(artifact.glob("*/*/graph.json")).parent


@contextmanager
def feature_repo(path: str) -> Iterator[None]:
    """Let the graph's user lookup read the Feast repository in ``path``, as the server does."""
    before = os.environ.get(REPO_VARIABLE)
    os.environ[REPO_VARIABLE] = str(Path(path).resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[REPO_VARIABLE]
        else:
            os.environ[REPO_VARIABLE] = before


def _results(
    held_out: HeldOut, run: Replay, vectors: NDArray[np.float32], positives: Any, batch_size: int
) -> dict[str, Any]:
    retrieved = exact_top(run.queries, vectors, run.seen, max(RECALL_AT), batch_size)
    return {
        "retrieval": retrieval_metrics(retrieved, held_out.relevant),
        "cascade": list_metrics(run.answers, held_out.relevant),
        "funnel": summary(run.fates),
        "baselines": evaluate_baselines(positives, held_out.rows, run.seen, held_out.relevant),
    }


EVALUATION = Stage(
    name="evaluation",
    help="Measure the served graph on the test part, beside baselines.",
    sections=("evaluation", "serving", "feature_store"),
    parents=("data", "etl", "two_tower", "index", "ranker", "export", "features"),
    fill=_fill,
)
