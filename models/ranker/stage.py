"""The ranker stage: train the DLRM, fuse its scores with the retriever's, and export both as one model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ...core.artifact import Artifact
from ...core.errors import ConfigError
from ...core.stage import Sections, Stage
from ..config import Calibration, DlrmConfig
from ..index.stage import FAISS
from ..retriever.stage import CHECKPOINT, QUERY

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors
    from ..layers.feature_gather import Lookup
    from .dlrm import Dlrm
    from .retriever_scores import RetrieverScores
    from .rows import CandidateRows, ImpressionRows, Retriever, ValidRows
    from .score_fusion import Fusion, Ranker


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write the models (see ``model_files``), ``checkpoint/`` and, if the ranker uses them, the transition counts."""
    from ...workflows.etl.tensors import Tensors
    from ..layers.feature_gather import Lookup
    from .export import differences, export_ranker
    from .heads import label_aucs
    from .quantize import quantize
    from .retriever_scores import RetrieverScores
    from .score_fusion import Ranker
    from .training import score_heads, train

    config = cast(DlrmConfig, sections["dlrm_ranker"])
    tensors = Tensors.load(parents["etl"].path)
    ann: Any = sections["serving.ann"]
    kind, rows = training_rows(tensors, config, parents, ann.topk)
    if rows.followers:
        rows.followers.transitions.save(folder)
    similarity = RetrieverScores.load(parents, tensors)
    dlrm, found, valid = train(tensors, rows, config, folder / CHECKPOINT, similarity.vectors)
    lookup = Lookup(tensors, rows.followers)
    fusion, judged, notices = fuse(dlrm, similarity, lookup, valid, config.calibration)
    ranker = Ranker(dlrm, fusion)
    columns = export_ranker(folder, ranker, similarity, tensors, rows.followers)
    difference, of_split = differences(folder, ranker, columns)
    int8 = quantize(folder, columns, retriever(tensors, parents, ann.topk), rows.events, valid)
    results = {"train_on": kind, **found.metrics("auc" if kind == "impressions" else "ndcg"), **judged}
    if notices:
        results["notices"] = [*results.get("notices", []), *notices]
    if valid is not None and valid.happened is not None:
        aucs = label_aucs(score_heads(dlrm, lookup, valid), valid.happened)
        results |= {"valid_auc_of": dict(zip(config.labels, aucs, strict=True))}
    return results | {
        "transitions": config.transitions.model_dump(),
        "fusion": asdict(fusion),
        "calibration": fusion.calibration,
        "onnx_max_difference": difference,
        "split": {"widths": columns.widths, "max_difference": of_split},
        "int8": asdict(int8) if int8 else None,
    }


def take_part(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> None:
    """The training part of ``fill``, for a worker that is not the chief."""
    from ...workflows.etl.tensors import Tensors
    from .retriever_scores import RetrieverScores
    from .training import train

    config, tensors = cast(DlrmConfig, sections["dlrm_ranker"]), Tensors.load(parents["etl"].path)
    ann: Any = sections["serving.ann"]
    vectors = RetrieverScores.load(parents, tensors).vectors
    train(tensors, training_rows(tensors, config, parents, ann.topk)[1], config, folder / CHECKPOINT, vectors)


def trains_on(wanted: str, data: Path) -> str:
    """``impressions`` or ``candidates``; ``auto`` takes impressions if the interactions have a label.

    Args:
        wanted: ``dlrm_ranker.train_on``.
        data: folder of the data artifact.

    Raises:
        ConfigError: if ``wanted`` is impressions and there is no label.
    """
    has_label = bool(json.loads((data / "tables.json").read_text())["has_label"])
    if wanted == "impressions" and not has_label:
        raise ConfigError("dlrm_ranker.train_on: impressions needs a 0/1 column label in interactions, there is none")
    return wanted if wanted != "auto" else ("impressions" if has_label else "candidates")


def training_rows(
    tensors: Tensors, config: DlrmConfig, parents: Mapping[str, Artifact], topk: int
) -> tuple[str, CandidateRows | ImpressionRows]:
    """What the ranker is trained on (see `trains_on`), and its training rows."""
    from .rows import CandidateRows, ImpressionRows
    from .transition_features import TransitionFeatures

    kind = trains_on("impressions" if config.labels else config.train_on, parents["data"].path)
    followers = TransitionFeatures.of(tensors, config.transitions)
    if kind == "impressions":
        return kind, ImpressionRows(tensors, config, followers)
    return kind, CandidateRows(tensors, retriever(tensors, parents, topk), config, followers)


def retriever(tensors: Tensors, parents: Mapping[str, Artifact], topk: int) -> Retriever:
    from .rows import Retriever

    query, index = parents["two_tower"].path / QUERY, parents["index"].path / FAISS
    return Retriever.load(query, index, min(topk, len(tensors.item_ids)))


def fuse(
    dlrm: Dlrm, similarity: RetrieverScores, lookup: Lookup, valid: ValidRows | None, calibration: Calibration = "platt"
) -> tuple[Fusion, dict[str, float], list[str]]:
    """Fit the fusion of both scores.

    Returns:
        The fusion, the validation scores of the retriever, the DLRM and both, and notices on the calibration.
    """
    from .score_fusion import Fusion, calibration_notices, fit_fusion
    from .training import score_rows, validation_score

    if valid is None:
        return Fusion(), {}, calibration_notices(Fusion(), calibration)
    logits, similar = score_rows(dlrm, lookup, valid), similarity(valid)
    fusion, there = fit_fusion(logits, similar, valid.label, calibration), np.isfinite(logits)
    both = np.where(there, fusion(logits, np.where(there, similar, 0)), -np.inf)
    scores = {"retriever": similar, "dlrm": logits, "fused": both}
    judged = {f"valid_{name}": validation_score(values, valid, f"ranker ({name})") for name, values in scores.items()}
    return fusion, judged, calibration_notices(fusion, calibration, logits, valid.label)


def load_ranker(artifact: Artifact, config: DlrmConfig, tensors: Tensors) -> Ranker:
    """The trained ranker of an artifact as a TensorFlow model, with its fusion weights."""
    from ..training.loop import WEIGHTS
    from ..training.rows import Events, item_columns, user_columns
    from .dlrm import build
    from .score_fusion import Fusion, Ranker
    from .transition_features import TransitionFeatures

    followers = TransitionFeatures.open(artifact.path, config.transitions)
    dlrm = build(tensors.schema, config, tensors.items, artifact.metrics["train_on"] == "impressions")
    one = Events.of(tensors.interactions("train")).take(np.zeros(1, np.int64))
    items = np.zeros((1, 1), np.int64)
    both = followers.columns(one, items) if followers else {}
    dlrm({**user_columns(tensors, one), **item_columns(tensors, items), **both})  # builds the layers
    dlrm.load_weights(str(artifact.path / CHECKPOINT / WEIGHTS))
    return Ranker(dlrm, Fusion.of(artifact.metrics["fusion"]))


RANKER = Stage(
    name="ranker",
    help="Train the DLRM ranker on impressions or on the retriever's candidates, and export it.",
    sections=("dlrm_ranker", "serving.ann"),
    parents=("data", "etl", "two_tower", "index"),
    fill=fill,
    take_part=take_part,
    version=10,
)
