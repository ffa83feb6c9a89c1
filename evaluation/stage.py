"""The evaluation stage: writes metrics.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..core.artifact import Artifact
from ..core.errors import DataError
from ..core.memory import MemoryNeed, give_back
from ..core.stage import Sections, Stage
from ..ensemble.config import ServingConfig
from ..models.config import DlrmConfig
from ..models.index.stage import VECTORS
from ..models.ranker.heads import shares
from ..models.retriever.neighbours import Neighbours
from ..workflows.data.repeats import keeps_seen
from .baselines.click_features import row_bytes
from .baselines.ease import item_model_bytes
from .baselines.past import Past
from .baselines.top_n import rank_baselines, tune_baselines
from .baselines.trees import NAME as TREES
from .baselines.tuning import Tuner
from .bootstrap import Bootstrap
from .config import BASELINES, EvaluationConfig
from .filtered import check_filtered
from .funnel import source_summary, summary, used_sources
from .held_out import LoggedTest
from .impressions import MOST_ROWS, Logged, measure_impressions, ranker_logits, without_impressions
from .method_metrics import measure_methods, recsys
from .new_items import Retrieval, measure_new_items
from .ranking_lists import RECALL_AT
from .replay import MOST_RANKED
from .report import render
from .retrieval import MOST_SCORES, HistoryScores, exact_top
from .served_answers import ServedAnswers, answer_test_part
from .slices import all_slices, measure_slice, tables_of

if TYPE_CHECKING:
    from ..workflows.etl.tensors import Tensors

RANKED_BYTES, SCORE_BYTES = 160, 16
"""Bytes of a scored pair of user and item while the ranker's metrics are computed (sorting and intervals included), and
of a score of exact search."""
ITEM_MODELS = {"item_knn", "ease", "recency_ease"}
"""Baselines that hold a matrix of items by items."""
METRICS = "metrics.json"
REPORT = "report.html"
TUNING = "tuning"
"""Folder beside the run folders with the settings of baselines that were chosen."""
ORDER = (
    *("retrieval", "served_retrieval", "ordered_by", "ranking", "cascade", "funnel", "sources", "notices", "baselines"),
    *("impressions", "recsys", "intervals", "differences", "tuning", "new_items", "slices"),
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
    give_back()  # the request graph's
    funnel = summary(served.replayed.fates)
    notices = check_filtered(served.replayed, served.held_out.relevant, funnel, serving.thresholds.min_score)
    notices += [text for stage in ("data", "etl", "ranker") for text in parents[stage].metrics.get("notices", [])]
    bootstrap = Bootstrap(config.replicates, config.seed)
    dlrm = cast(DlrmConfig, sections["dlrm_ranker"])
    tuner = Tuner(folder.parent / TUNING, parents["etl"].digest, config.tuning_seconds)
    results = _recommendation_metrics(
        served, config, tensors, parents, serving, tuner, bootstrap, calibrated=1 in shares(dlrm.labels)
    )
    results["slices"] = [
        measure_slice(part, served.held_out, served.replayed.answers, served.ranked) for part in slices
    ]
    results["recsys"] = recsys(results, parents["data"].metrics)
    results["impressions"] = _impression_metrics(served, config, tensors, parents, dlrm, bootstrap, tuner)
    used = used_sources(Neighbours.load(parents["two_tower"].path))
    found_by = source_summary(served.replayed.sources, served.replayed.fates, used)
    results |= {"funnel": funnel, "sources": found_by, "notices": notices}
    results["ordered_by"] = parents["ranker"].metrics["order"]
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
    serving: ServingConfig,
    tuner: Tuner,
    bootstrap: Bootstrap,
    calibrated: bool,
) -> dict[str, Any]:
    """Metrics of the retriever, the cascade, the ranker and the baselines; and of new items."""
    run, held_out = served.replayed, served.held_out
    vectors = np.load(parents["index"].path / "item_vectors.npy", mmap_mode="r")
    neighbours = Neighbours.load(parents["two_tower"].path)
    of_history = None if neighbours is None else HistoryScores(neighbours, run.histories)
    retrieved = exact_top(run.queries, vectors, run.seen, max(RECALL_AT), config.batch_size, of_history)
    names = _baselines(config)
    choices = tune_baselines(names, tensors, tuner, keeps_seen(serving.seen, parents["data"].path))
    give_back()
    baselines = rank_baselines(Past.read(tensors), choices, held_out.rows, run.seen, max(RECALL_AT), names)
    left_out = without_impressions(config.baselines) if served.impressions is None else {}
    ours = {"retrieval": retrieved, "served_retrieval": run.retrieved, "cascade": run.answers}
    ranked = {**ours, **baselines, **left_out}
    results = measure_methods(ranked, served.ranked, held_out.relevant, bootstrap, config.metrics, calibrated)
    retrieval = Retrieval(run.queries, vectors, run.seen, retrieved, of_history)
    results["tuning"] = {name: choice.facts() for name, choice in choices.items() if name in names}
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
    tuner: Tuner,
) -> dict[str, Any]:
    """Metrics of the ranker and its baselines on logged impressions; empty if the ranker was not trained on those."""
    if served.impressions is None:
        return {}
    logits = ranker_logits(served.ranked, served.impressions, tensors, parents, dlrm)
    logged = Logged.read(tensors, served.impressions)
    found = measure_impressions(
        served.ranked, logged, logits, tensors, parents["ranker"].metrics, _baselines(config), bootstrap, tuner
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


def check(sections: Sections, parents: Mapping[str, Artifact]) -> None:
    """Check, before anything is trained, that the test part holds a positive and that the slices can be made.

    Raises:
        ConfigError: naming the column of ``evaluation.slices`` and the nearest one.
        DataError: if there is nothing to evaluate.
    """
    import pyarrow.dataset as ds

    data, config = parents["data"].path, cast(EvaluationConfig, sections["evaluation"])
    tables_of(config.slices, data)
    held_out = (ds.field("split") == "test") & ds.field("positive")
    if not ds.dataset(data / "interactions").count_rows(filter=held_out):
        raise DataError(
            "interactions: the test part holds no positive, so there is nothing to evaluate: set data.split so that it "
            "does, or run `cascade run --only export`"
        )


def memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """What grows with users, items and candidates."""
    from ..workflows.etl.tensors import Tensors

    config, serving = cast(EvaluationConfig, sections["evaluation"]), cast(ServingConfig, sections["serving"])
    tensors = Tensors.load(parents["etl"].path)
    items, test = len(tensors.item_ids), tensors.interactions("test")
    users = min(len(np.unique(test.user_row[test.positive])), config.max_users or len(tensors.user_ids))
    candidates, width = min(serving.ann.topk, items), np.load(parents["index"].path / VECTORS, mmap_mode="r").shape[1]
    lists = (3 + len(_baselines(config))) * 8 * max(RECALL_AT)
    ranked, clicks = min(MOST_RANKED, users * candidates), 0
    if parents["ranker"].metrics["train_on"] != "candidates":
        ranked += len(test)
        known = (min(MOST_ROWS, len(tensors.interactions(split))) for split in ("train", "valid"))
        clicks = len(test) + sum(known) if TREES in _baselines(config) else 0
    positives = len(np.load(tensors.path / "positives" / "code.npy", mmap_mode="r"))
    return MemoryNeed(
        {
            f"{users:,} users' lists and queries": users * (lists + 4 * width + 8 * candidates),
            f"{ranked:,} scored pairs": RANKED_BYTES * ranked,
            f"scores of users for {items:,} items": SCORE_BYTES * min(config.batch_size * items, MOST_SCORES),
            f"{positives:,} positives for the baselines": 60 * positives,
            f"features of {clicks:,} impressions for {TREES}": clicks * row_bytes(tensors.schema),
            "item-item weights of baselines": item_model_bytes(items) if ITEM_MODELS & set(_baselines(config)) else 0,
        },
        "lower evaluation.max_users or serving.ann.topk, or name fewer evaluation.baselines",
    )


EVALUATION = Stage(
    name="evaluation",
    help="Measure the served graph on the test part, and compare it with baselines.",
    sections=("evaluation", "serving", "dlrm_ranker"),
    parents=("data", "etl", "two_tower", "index", "ranker", "export", "features"),
    fill=_fill,
    check=check,
    memory=memory,
    version=12,
)
