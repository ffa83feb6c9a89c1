"""The evaluation stage: writes metrics.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..core.artifact import Artifact
from ..core.stage import Sections, Stage
from ..ensemble.config import ServingConfig
from ..models.config import DlrmConfig
from ..models.ranker.heads import shares
from ..models.retriever.neighbours import Neighbours
from .baselines.sequences import UserSequences
from .baselines.top_n import rank_baselines
from .bootstrap import Bootstrap
from .config import BASELINES, EvaluationConfig
from .filtered import check_filtered
from .funnel import source_summary, summary
from .held_out import LoggedTest
from .impressions import Logged, measure_impressions, ranker_logits, without_impressions
from .method_metrics import measure_methods, recsys
from .new_items import Retrieval, measure_new_items
from .ranking_lists import RECALL_AT
from .report import render
from .retrieval import HistoryScores, exact_top
from .served_answers import ServedAnswers, answer_test_part
from .slices import all_slices, measure_slice

if TYPE_CHECKING:
    from ..workflows.etl.tensors import Tensors

METRICS = "metrics.json"
REPORT = "report.html"
ORDER = (
    *("retrieval", "served_retrieval", "ranking", "cascade", "funnel", "sources", "notices", "baselines"),
    *("impressions", "recsys", "intervals", "differences", "new_items", "slices"),
)
"""The keys of metrics.json."""


def _fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Measure the served graph and the baselines, and write both files."""
    from ..workflows.etl.tensors import Tensors

    config = cast(EvaluationConfig, sections["evaluation"])
    serving = cast(ServingConfig, sections["serving"])
    tensors, data = Tensors.load(parents["etl"].path), parents["data"].path
    logged = LoggedTest.read(data, tensors.user_ids, tensors.item_ids)
    slices = all_slices(config.slices, data, logged, tensors)
    served = answer_test_part(
        parents["export"].path,
        parents["features"].path,
        logged,
        config,
        tensors,
        min_score=serving.thresholds.min_score,
        impressions=parents["ranker"].metrics["train_on"] != "candidates",
    )
    funnel = summary(served.replayed.fates)
    notices = check_filtered(served.replayed, served.held_out.relevant, funnel, serving.thresholds.min_score)
    if parents["ranker"].metrics["order"] == "retriever":
        notices += parents["ranker"].metrics.get("notices", [])
    bootstrap = Bootstrap(config.replicates, config.seed)
    dlrm = cast(DlrmConfig, sections["dlrm_ranker"])
    results = _recommendation_metrics(served, config, tensors, parents, bootstrap, calibrated=1 in shares(dlrm.labels))
    results["slices"] = [
        measure_slice(part, served.held_out, served.replayed.answers, served.ranked) for part in slices
    ]
    results["recsys"] = recsys(results, parents["data"].metrics)
    results["impressions"] = _impression_metrics(served, config, tensors, parents, dlrm, bootstrap)
    found_by = source_summary(served.replayed.sources, served.replayed.fates)
    results |= {"funnel": funnel, "sources": found_by, "notices": notices}
    results = {name: results[name] for name in ORDER}
    (folder / METRICS).write_text(json.dumps(results, indent=1))
    facts = _facts(served, len(tensors.item_ids), notices)
    (folder / REPORT).write_text(render(results, facts, served.ranked.logits, served.ranked.label))
    return results


def _recommendation_metrics(
    served: ServedAnswers,
    config: EvaluationConfig,
    tensors: Tensors,
    parents: Mapping[str, Artifact],
    bootstrap: Bootstrap,
    calibrated: bool,
) -> dict[str, Any]:
    """Metrics of the retriever, the cascade, the ranker and the baselines; and of new items."""
    run, held_out = served.replayed, served.held_out
    vectors = np.load(parents["index"].path / "item_vectors.npy", mmap_mode="r")
    neighbours = Neighbours.load(parents["two_tower"].path)
    of_history = None if neighbours is None else HistoryScores(neighbours, run.histories)
    retrieved = exact_top(run.queries, vectors, run.seen, max(RECALL_AT), config.batch_size, of_history)
    sequences, names = UserSequences.read(tensors), _baselines(config)
    baselines = rank_baselines(tensors.before_test(), sequences, held_out.rows, run.seen, max(RECALL_AT), names)
    left_out = without_impressions(config.baselines) if served.impressions is None else {}
    ours = {"retrieval": retrieved, "served_retrieval": run.retrieved, "cascade": run.answers}
    ranked = {**ours, **baselines, **left_out}
    results = measure_methods(ranked, served.ranked, held_out.relevant, bootstrap, config.metrics, calibrated)
    retrieval = Retrieval(run.queries, vectors, run.seen, retrieved, of_history)
    results["new_items"] = measure_new_items(
        tensors.item_counts, held_out.relevant, retrieval, run.answers, bootstrap, config.batch_size
    )
    return results


def _impression_metrics(
    served: ServedAnswers,
    config: EvaluationConfig,
    tensors: Tensors,
    parents: Mapping[str, Artifact],
    dlrm: DlrmConfig,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Metrics of the ranker and its baselines on logged impressions; empty if the ranker was not trained on those."""
    if served.impressions is None:
        return {}
    logits = ranker_logits(served.ranked, served.impressions, tensors, parents, dlrm)
    logged = Logged.read(tensors, served.impressions)
    found = measure_impressions(
        served.ranked, logged, logits, tensors, parents["ranker"].metrics, _baselines(config), bootstrap
    )
    return {label: {**methods, "history": config.history} for label, methods in found.items()}


def _baselines(config: EvaluationConfig) -> tuple[str, ...]:
    return BASELINES if config.baselines is None else tuple(config.baselines)


def _facts(served: ServedAnswers, items: int, notices: Sequence[str]) -> dict[str, str]:
    """What the report says about the run."""
    return {
        "release": served.release,
        "test users": f"{len(served.held_out.rows):,}",
        "items": f"{items:,}",
        "relevant items": f"{len(served.replayed.fates):,}",
        "ranked rows": f"{len(served.ranked):,}",
        **({"notices": "; ".join(notices)} if notices else {}),
    }


EVALUATION = Stage(
    name="evaluation",
    help="Measure the served graph on the test part, and compare it with baselines.",
    sections=("evaluation", "serving", "dlrm_ranker"),
    parents=("data", "etl", "two_tower", "index", "ranker", "export", "features"),
    fill=_fill,
    version=7,
)
