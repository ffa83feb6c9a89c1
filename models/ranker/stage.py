"""The ranker stage: train the DLRM, fuse its scores with the retriever's, and export both as one model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...core.artifact import Artifact
from ...core.errors import ConfigError
from ...core.files import read_json
from ...core.memory import MemoryNeed, give_back
from ...core.stage import Sections, Stage
from .. import metrics
from ..config import DlrmConfig, TwoTowerConfig
from ..index.stage import FAISS, VECTORS
from ..retriever.neighbours import Neighbours
from ..retriever.stage import CHECKPOINT, CONFIG, QUERY, of_training_part, recommends_seen

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors
    from ..layers.feature_gather import Lookup
    from .dlrm import Dlrm
    from .retriever_scores import RetrieverScores
    from .rows import Retriever, ValidRows
    from .score_fusion import Fusion, Ranker
    from .served_order import OrderChoice
    from .training import TrainingRows

log = logging.getLogger(__name__)
EVENT_BYTES, CANDIDATE_BYTES, SCORED_BYTES = 100, 5, 24
"""Bytes of a training interaction, of a candidate that is kept, and of one that is scored."""
GRAPH_BYTES = 300_000_000
"""What TensorFlow, the conversion to ONNX and the int8 model take whatever the data; measured."""


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write the models (see ``model_files``), ``checkpoint/`` and, if the ranker uses them, the transition counts.

    If the retriever orders the list, there is only the whole model: it turns cosines into probabilities.
    """
    from ...workflows.etl.tensors import Tensors
    from ..layers.feature_gather import Lookup
    from ..training.progress import announce
    from .export import differences, export_ranker
    from .heads import label_aucs
    from .quantize import quantize
    from .retriever_scores import RetrieverScores
    from .score_fusion import Ranker
    from .training import refit, score_heads, train_from_best_start

    config = cast(DlrmConfig, sections["dlrm_ranker"])
    tensors = Tensors.load(parents["etl"].path)
    ann: Any = sections["serving.ann"]
    keep_seen = recommends_seen(sections, parents)
    kind, rows = training_rows(tensors, config, parents, ann.topk, keep_seen)
    if rows.followers:
        rows.followers.transitions.save(folder)
    similarity = RetrieverScores.of_training_part(parents, tensors)
    trained = train_from_best_start(tensors, rows, config, folder / CHECKPOINT, similarity.vectors)
    config = trained.config
    dlrm, found, valid = trained.model, trained.fit, trained.valid
    final = refit(
        tensors, rows, config, folder / CHECKPOINT, similarity.vectors, found, valid, before=trained.trainings
    )
    events, followers = rows.events, rows.followers
    del rows  # with its candidates, before the models are exported
    give_back()
    lookup, candidates = Lookup(tensors, followers), retriever(tensors, parents, ann.topk)
    announce("ranker", "choosing whether the retriever, the ranker or both order the list")
    listed = listed_rows(kind, valid, tensors, candidates, config, keep_seen)
    fused = fuse(dlrm, similarity, lookup, valid, listed, config)
    announce("ranker", "exporting what is served to ONNX")
    ranker = Ranker(final or dlrm, fused.fusion, similarity.neighbours is not None)
    columns = export_ranker(folder, ranker, similarity, tensors, followers)
    difference, of_split = differences(folder, ranker, columns)
    int8 = quantize(folder, columns, candidates, events, valid) if columns.widths else None
    results = {
        "train_on": kind,
        "warm_start": config.warm_start,
        **({"valid_auc_of_starts": trained.valid_of_starts} if trained.valid_of_starts else {}),
        "refit": final is not None,
        **found.metrics("ndcg" if kind == "candidates" else "auc"),
        **fused.metrics(),
    }
    if notices := [*not_learned(tensors, config), *fused.notices]:
        results["notices"] = [*results.get("notices", []), *notices]
    if valid is not None and valid.happened is not None:
        aucs = label_aucs(score_heads(dlrm, lookup, valid), valid.happened)
        results |= {"valid_auc_of": dict(zip(config.labels, aucs, strict=True))}
    return results | {
        "transitions": config.transitions.model_dump(),
        "neighbours": ranker.neighbours,
        "onnx_max_difference": difference,
        "split": {"widths": columns.widths, "max_difference": of_split} if columns.widths else None,
        "int8": asdict(int8) if int8 else None,
    }


def not_learned(tensors: Tensors, config: DlrmConfig) -> list[str]:
    """A notice, logged as well, if the tables have labels that the ranker does not learn."""
    if not (others := sorted(set(tensors.interactions("train").labels) - set(config.labels))):
        return []
    added = ", ".join(f"{name}: {{ serve: 0 }}" for name in others)
    first = "" if config.labels else "label: {}, "
    notice = (
        f"data.labels: the ranker does not learn {', '.join(others)}; to learn them as well, without a weight in the "
        f"score, add to dlrm_ranker.labels: {{ {first}{added} }}"
    )
    log.warning(notice)
    return [notice]


def take_part(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> None:
    """The training part of ``fill``, for a worker that is not the chief."""
    from ...workflows.etl.tensors import Tensors
    from .retriever_scores import RetrieverScores
    from .training import refit, train_from_best_start

    config, tensors = cast(DlrmConfig, sections["dlrm_ranker"]), Tensors.load(parents["etl"].path)
    ann: Any = sections["serving.ann"]
    vectors = RetrieverScores.of_training_part(parents, tensors).vectors
    rows = training_rows(tensors, config, parents, ann.topk, recommends_seen(sections, parents))[1]
    trained = train_from_best_start(tensors, rows, config, folder / CHECKPOINT, vectors)
    weights, before = folder / CHECKPOINT, trained.trainings
    refit(tensors, rows, trained.config, weights, vectors, trained.fit, trained.valid, before=before)


def trains_on(wanted: str, data: Path) -> str:
    """``impressions``, ``candidates`` or ``both``; ``auto`` takes impressions if the interactions have a label.

    Args:
        wanted: ``dlrm_ranker.train_on``.
        data: folder of the data artifact.

    Raises:
        ConfigError: if ``wanted`` needs impressions and there is no label.
    """
    has_label = bool(read_json(data / "tables.json")["has_label"])
    if wanted in ("impressions", "both") and not has_label:
        raise ConfigError(f"dlrm_ranker.train_on: {wanted} needs a 0/1 column label in interactions, there is none")
    return wanted if wanted != "auto" else ("impressions" if has_label else "candidates")


def trained_on(config: DlrmConfig, data: Path) -> str:
    """What the ranker of a config is trained on, see `trains_on`."""
    return trains_on("impressions" if config.labels and config.train_on == "auto" else config.train_on, data)


def training_rows(
    tensors: Tensors, config: DlrmConfig, parents: Mapping[str, Artifact], topk: int, keep_seen: bool
) -> tuple[str, TrainingRows]:
    """What the ranker is trained on (see `trains_on`), and its training rows.

    Args:
        keep_seen: whether items that a user has seen are candidates.
    """
    from .rows import CandidateRows, ImpressionRows, MixedRows
    from .transition_features import TransitionFeatures

    kind = trained_on(config, parents["data"].path)
    followers = TransitionFeatures.of(tensors, config.transitions)
    if kind == "impressions":
        return kind, ImpressionRows(tensors, config, followers)
    found, both = retriever(tensors, parents, topk), kind == "both"
    lists = CandidateRows(tensors, found, config, followers, shown_again=both, keep_seen=keep_seen)
    if kind == "candidates":
        return kind, lists
    return kind, MixedRows(ImpressionRows(tensors, config, followers), lists, config)


def listed_rows(
    kind: str, valid: ValidRows | None, tensors: Tensors, candidates: Retriever, config: DlrmConfig, keep_seen: bool
) -> ValidRows | None:
    """Validation positives among the retriever's candidates, as a release lists them; None if there are none.

    Args:
        kind: what the ranker was trained on.
        valid: the validation rows of its training.
        keep_seen: whether items that a user has seen are candidates.
    """
    from ..retriever.user_items import hidden_items
    from .rows import valid_candidates

    if kind == "candidates":
        return valid
    hidden = hidden_items(tensors, shown_again=True, keep_seen=keep_seen)
    return valid_candidates(tensors, candidates, hidden, config.training.seed)


def retriever(tensors: Tensors, parents: Mapping[str, Artifact], topk: int) -> Retriever:
    from .rows import Retriever

    towers, index, neighbours = parents["two_tower"].path, parents["index"].path, None
    if (weights := Neighbours.load(towers / CHECKPOINT)) is not None:
        neighbours = weights, np.load(of_training_part(index, VECTORS))
    history = TwoTowerConfig.model_validate_json((towers / CHECKPOINT / CONFIG).read_text()).valid_history
    query, faiss = of_training_part(towers, QUERY), of_training_part(index, FAISS)
    return Retriever.load(query, faiss, min(topk, len(tensors.item_ids)), neighbours, history)


@dataclass(frozen=True)
class FusedScores:
    """How the scores of DLRM and retriever are served, and what was measured on the validation part."""

    fusion: Fusion
    """The served one."""
    of_impressions: Fusion | None
    """What predicts logged impressions best; None for a ranker that was trained on candidates alone."""
    judged: Mapping[str, float]
    """``valid_retriever``, ``valid_dlrm`` and ``valid_fused``: NDCG of candidates, or AUC of impressions."""
    choice: OrderChoice | None
    """Why this order is served, if it was chosen."""
    notices: list[str]

    def metrics(self) -> dict[str, Any]:
        """Metrics for the artifact's manifest."""
        of_impressions = {"impression_fusion": asdict(self.of_impressions)} if self.of_impressions else {}
        chosen = {"order_choice": asdict(self.choice)} if self.choice else {}
        served = {"fusion": asdict(self.fusion), "calibration": self.fusion.calibration, "order": self.fusion.order}
        return {**self.judged, **served, **of_impressions, **chosen}


def fuse(
    dlrm: Dlrm,
    similarity: RetrieverScores,
    lookup: Lookup,
    valid: ValidRows | None,
    listed: ValidRows | None,
    config: DlrmConfig,
) -> FusedScores:
    """Choose whose scores order the list, and calibrate them.

    Args:
        valid: what the scores are calibrated on.
        listed: what the order is chosen on, and the weights of both scores are fitted on.

    Raises:
        DivergedError: if a score of the validation part is NaN.
    """
    from .score_fusion import MIN_POSITIVES, calibration_notices, fit_fusion
    from .served_order import FUSED_WEIGHT, ScoredRequests, choose_order, left_out, unjudged, weights_of
    from .training import score_rows, validation_score

    def scored(rows: ValidRows) -> ScoredRequests:
        logits = score_rows(dlrm, lookup, rows)
        metrics.check_scores(logits, "ranker")
        return ScoredRequests(logits, similarity(rows), rows.label, rows.events.user_row)

    calibration = config.calibration
    if valid is None or listed is None:
        fusion, notices = unjudged(config)
        return FusedScores(fusion, None, {}, None, [*notices, *calibration_notices(fusion, calibration)])
    own = scored(valid)
    lists = own if listed is valid else scored(listed)
    best = fit_fusion(own.logits, own.cosine, own.label, calibration)
    values = {"retriever": own.cosine, "dlrm": own.logits, "fused": own.served(best)}
    judged = {f"valid_{name}": validation_score(each, valid, f"ranker ({name})") for name, each in values.items()}
    order, choice, least = config.order_by, None, FUSED_WEIGHT if config.order_by == "fused" else 0.0
    if order == "auto":
        fused = calibration != "none" and own.label.sum() >= MIN_POSITIVES
        choice = choose_order(lists, config.choose_by, fused=fused)
        order = choice.order
    fusion = fit_fusion(own.logits, own.cosine, own.label, calibration, weights_of(order, lists, least))
    notices = [
        *left_out(config, choice, fusion, lists=listed is valid or config.train_on == "both"),
        *calibration_notices(fusion, calibration, own.logits, own.label),
    ]
    return FusedScores(fusion, None if listed is valid else best, judged, choice, notices)


def load_ranker(artifact: Artifact, config: DlrmConfig, tensors: Tensors) -> Ranker:
    """The trained ranker of an artifact as a TensorFlow model, with its fusion weights."""
    from ..training.loop import WEIGHTS
    from .dlrm import build
    from .score_fusion import Fusion, Ranker
    from .training import create_weights
    from .transition_features import TransitionFeatures

    followers = TransitionFeatures.open(artifact.path, config.transitions)
    dlrm = build(tensors.schema, config, tensors.items, artifact.metrics["train_on"] != "candidates")
    create_weights(dlrm, tensors, followers)
    dlrm.load_weights(str(artifact.path / CHECKPOINT / WEIGHTS))
    return Ranker(dlrm, Fusion.of(artifact.metrics["fusion"]), artifact.metrics["neighbours"])


def check(sections: Sections, parents: Mapping[str, Artifact]) -> None:
    """Check the names and labels that only the tables know, before the retriever is trained.

    Raises:
        ConfigError: naming the key, and the feature that it cannot take.
        DataError: if a label that is to be learned is always the same.
    """
    from ...workflows.etl.tensors import Tensors
    from ..layers.history_items import item_features
    from ..layers.schema import check_names
    from ..training.rows import Events
    from .rows import varied_labels
    from .target_attention import KEY
    from .target_encoding import rate_features

    config, tensors = cast(DlrmConfig, sections["dlrm_ranker"]), Tensors.load(parents["etl"].path)
    check_names(tensors.schema, config.embedding_dims, "dlrm_ranker.embedding_dims")
    if config.history.kind == "target_attention":
        item_features(tensors.schema, config.history.features, KEY)
    if trained_on(config, parents["data"].path) != "candidates":
        rate_features(tensors.schema, config.rates, ("user", "context", "item"))
        varied_labels(Events.of(tensors.interactions("train")), config)


def memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """What the ranker holds beside its tables, which the training itself estimates, see `memory_estimate`."""
    from ...workflows.etl.tensors import Tensors
    from .rows import VALID_EVENTS

    config, ann = cast(DlrmConfig, sections["dlrm_ranker"]), cast(Any, sections["serving.ann"])
    tensors = Tensors.load(parents["etl"].path)
    kind, source = trained_on(config, parents["data"].path), tensors.interactions("train")
    events = len(source) + (len(tensors.interactions("valid")) if config.refit and kind != "candidates" else 0)
    topk = min(ann.topk, len(tensors.item_ids))
    lists = 0 if kind == "impressions" else min(config.max_events, int(source.positive.sum()))
    rates = 0 if kind == "candidates" else 4 * len(config.rates.features) * (1 + max(1, len(config.labels)))
    return MemoryNeed(
        {
            f"{events:,} interactions": (EVENT_BYTES + rates) * events,
            f"{topk} candidates of {lists:,} positives": CANDIDATE_BYTES * topk * lists,
            f"{topk} candidates of {VALID_EVENTS:,} positives to validate": SCORED_BYTES * topk * VALID_EVENTS,
            "TensorFlow's graphs and ONNX": GRAPH_BYTES,
        },
        "lower dlrm_ranker.max_events or serving.ann.topk",
    )


RANKER = Stage(
    name="ranker",
    help="Train the DLRM ranker on impressions or on the retriever's candidates, and export it.",
    sections=("dlrm_ranker", "serving.ann", "serving.seen"),
    parents=("data", "etl", "two_tower", "index"),
    fill=fill,
    take_part=take_part,
    check=check,
    memory=memory,
    version=20,
)
