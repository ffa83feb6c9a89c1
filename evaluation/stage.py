"""The evaluation stage: metrics.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..core.artifact import Artifact
from ..core.stage import Sections, Stage
from ..ensemble.config import ServingConfig
from ..models.config import DlrmConfig
from ..workflows.config import FeatureStoreConfig
from .baselines.sequences import UserSequences
from .baselines.top_n import rank_baselines
from .bootstrap import Bootstrap
from .config import BASELINES, EvaluationConfig
from .funnel import summary
from .held_out import HeldOut, LoggedTest
from .impressions import (
    Logged,
    events_of_test,
    measure_impressions,
    ranker_logits,
    without_impressions,
)
from .method_metrics import measure_methods, recsys
from .new_items import Retrieval, measure_new_items
from .ranking import RankedRows
from .ranking_lists import RECALL_AT
from .replay import (
    Replay,
    event_columns,
    rank_logged,
    replay,
)
from .report import render
from .retrieval import exact_top
from .served_graph import feature_repo_at, version_folder
from .slices import all_slices, measure_slice

if TYPE_CHECKING:
    from ..core.signature import Signature
    from ..ensemble.graph.executor import Executor
    from ..models.training.rows import Events
    from ..workflows.etl.tensors import Tensors

METRICS = "metrics.json"
REPORT = "report.html"
ORDER = (
    *("retrieval", "ranking", "cascade", "funnel", "baselines", "impressions"),
    *("recsys", "intervals", "differences", "new_items", "slices"),
)
"""What metrics.json holds."""


def _fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write metrics.json and report.html. User features come from the live feature store, as when serving."""
    from ..ensemble.graph.executor import Executor
    from ..workflows.etl.tensors import Tensors

    config = cast(EvaluationConfig, sections["evaluation"])
    serving = cast(ServingConfig, sections["serving"])
    store = cast(FeatureStoreConfig, sections["feature_store"])
    dlrm = cast(DlrmConfig, sections["dlrm_ranker"])
    tensors, names = Tensors.load(parents["etl"].path), BASELINES if config.baselines is None else config.baselines
    sequences, bootstrap = UserSequences.read(tensors), Bootstrap(config.replicates, config.seed)
    logged = LoggedTest.read(parents["data"].path, tensors.user_ids, tensors.item_ids)
    parts = all_slices(config.slices, parents["data"].path, logged, tensors)
    impressions = parents["ranker"].metrics["train_on"] == "impressions"
    with feature_repo_at(store.repo):
        executor = Executor.load(version_folder(parents["export"].path))
        held_out, run = _replayed(executor, logged, config, serving.thresholds.min_score)
        rows, shown = scored_impressions(executor, logged, config, tensors) if impressions else (run.candidates, None)
    vectors = np.load(parents["index"].path / "item_vectors.npy", mmap_mode="r")
    retrieved = exact_top(run.queries, vectors, run.seen, max(RECALL_AT), config.batch_size)
    baselines = rank_baselines(tensors.before_test(), sequences, held_out.rows, run.seen, max(RECALL_AT), names)
    left_out = {} if impressions else without_impressions(config.baselines)
    ranked = {"retrieval": retrieved, "cascade": run.answers, **baselines, **left_out}
    results = measure_methods(ranked, rows, held_out.relevant, bootstrap, config.metrics)
    retrieval = Retrieval(run.queries, vectors, run.seen, retrieved)
    results["new_items"] = measure_new_items(
        tensors.item_counts, held_out.relevant, retrieval, run.answers, bootstrap, config.batch_size
    )
    results["funnel"] = summary(run.fates)
    results["slices"] = [measure_slice(part, held_out, run.answers, rows) for part in parts]
    results["recsys"] = recsys(results, parents["data"].metrics)
    results["impressions"] = {}
    if shown is not None:
        own = ranker_logits(rows, shown, tensors, parents["ranker"], dlrm)
        fits, trained = Logged.read(tensors, shown), parents["ranker"].metrics
        results["impressions"] = measure_impressions(rows, fits, own, tensors, trained, names, bootstrap)
    results = {name: results[name] for name in ORDER}
    (folder / METRICS).write_text(json.dumps(results, indent=1))
    facts = {"release": executor.release["release"], "test users": f"{len(held_out.rows):,}"}
    facts |= {"items": f"{len(vectors):,}", "relevant items": f"{len(run.fates):,}", "ranked rows": f"{len(rows):,}"}
    (folder / REPORT).write_text(render(results, facts, rows.logits, rows.label))
    return results


def _replayed(
    executor: Executor, logged: LoggedTest, config: EvaluationConfig, min_score: float
) -> tuple[HeldOut, Replay]:
    held_out = logged.users_held_out(_inputs(executor), config.max_users, config.seed)
    return held_out, replay(executor, held_out, min_score, config.batch_size)


def scored_impressions(
    executor: Executor, logged: LoggedTest, config: EvaluationConfig, tensors: Tensors
) -> tuple[RankedRows, Events]:
    """The logged items as the ranker scores them, and the interactions that they are from."""
    columns, rows = logged.impressions(_inputs(executor), config.max_users, config.seed)
    events = events_of_test(tensors, rows, config.history)
    if config.history == "at_event":
        columns |= event_columns(events.moment)
    logits = rank_logged(executor, columns, config.batch_size)
    return RankedRows(logits, logged.label[rows], logged.users[rows], logged.items[rows], rows), events


def _inputs(executor: Executor) -> Signature:
    return {spec.name: spec.spec for spec in executor.inputs}


EVALUATION = Stage(
    name="evaluation",
    help="Measure the served graph on the test part, beside baselines.",
    sections=("evaluation", "serving", "feature_store", "dlrm_ranker"),
    parents=("data", "etl", "two_tower", "index", "ranker", "export", "features"),
    fill=_fill,
    version=4,
)
