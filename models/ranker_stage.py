"""The ranker stage: train the DLRM, weigh it with the retriever, export both as one model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..core.artifact import Artifact
from ..core.errors import ConfigError
from ..core.stage import Sections, Stage
from .config import DlrmConfig
from .index_stage import FAISS
from .two_tower_stage import CHECKPOINT, QUERY, load_towers

if TYPE_CHECKING:
    from ..workflows.tensors import Tensors
    from .dlrm import Dlrm
    from .fusion import Cosine, Fusion, Ranker
    from .ranker_data import CandidateRows, ImpressionRows, ValidRows

RANKER_FILE = "ranker.onnx"
PARITY_USERS, PARITY_CANDIDATES = 64, 8


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write ``ranker.onnx`` and ``checkpoint/``."""
    from ..workflows.tensors import Tensors
    from .fusion import Cosine, Ranker
    from .ranker_training import train

    config = cast(DlrmConfig, sections["dlrm_ranker"])
    tensors = Tensors.load(parents["etl"].path)
    kind = trains_on(config.train_on, parents["data"].path)
    rows = training_rows(kind, tensors, config, parents, sections["serving.ann"].topk)  # type: ignore[attr-defined]
    dlrm, found, valid = train(tensors, rows, config, folder / CHECKPOINT)
    cosine = Cosine(load_towers(parents["two_tower"].path, tensors), tensors.schema)
    fusion, judged = weigh(dlrm, cosine, tensors, valid)
    difference = export_ranker(folder / RANKER_FILE, Ranker(dlrm, cosine, fusion), tensors)
    results = {"train_on": kind, **found.metrics("auc" if kind == "impressions" else "ndcg"), **judged}
    return results | {"fusion": asdict(fusion), "onnx_max_difference": difference}


def trains_on(wanted: str, data: Path) -> str:
    """``impressions`` or ``candidates``; ``auto`` takes impressions where interactions have a label.

    Raises:
        ConfigError: if impressions are asked for and there is no label.
    """
    has_label = bool(json.loads((data / "tables.json").read_text())["has_label"])
    if wanted == "impressions" and not has_label:
        raise ConfigError("dlrm_ranker.train_on: impressions needs a 0/1 column label in interactions, there is none")
    return wanted if wanted != "auto" else ("impressions" if has_label else "candidates")


def training_rows(
    kind: str, tensors: Tensors, config: DlrmConfig, parents: Mapping[str, Artifact], topk: int
) -> CandidateRows | ImpressionRows:
    from .ranker_data import CandidateRows, ImpressionRows, Retriever

    if kind == "impressions":
        return ImpressionRows(tensors, config)
    query, index = parents["two_tower"].path / QUERY, parents["index"].path / FAISS
    return CandidateRows(tensors, Retriever.load(query, index, min(topk, len(tensors.item_ids))), config)


def weigh(dlrm: Dlrm, cosine: Cosine, tensors: Tensors, valid: ValidRows | None) -> tuple[Fusion, dict[str, float]]:
    """The fusion's weights, and the validation score of the retriever's order, the DLRM's and both together."""
    from .fusion import Fusion, fit_fusion
    from .lookup import Lookup
    from .ranker_training import judge, score_rows

    if valid is None:
        return Fusion(), {}
    lookup = Lookup(tensors)
    logits, similar = score_rows(dlrm, lookup, valid), score_rows(cosine, lookup, valid)
    there = np.isfinite(logits)
    fusion = fit_fusion(logits[there], similar[there], valid.label[there])
    both = np.where(there, fusion(logits, np.where(there, similar, 0)), -np.inf)
    scores = {"retriever": similar, "dlrm": logits, "fused": both}
    return fusion, {f"valid_{name}": judge(values, valid) for name, values in scores.items()}


def export_ranker(file: Path, ranker: Ranker, tensors: Tensors) -> float:
    """Write ``ranker.onnx``; the largest difference to TensorFlow on real rows."""
    from .events import Events, item_columns, user_columns
    from .onnx_export import check_parity, export, specs

    schema = tensors.schema
    inputs = [*specs(schema.side("user", "context"), None), *specs(schema.side("item"), None, None)]
    export(file, ranker, inputs, "logits")
    events = Events.of(tensors.interactions("train")).sample(PARITY_USERS, seed=0)
    rows = np.random.default_rng(0).integers(0, len(tensors.item_ids), (len(events), PARITY_CANDIDATES))
    columns = {**user_columns(tensors, events), **item_columns(tensors, rows)}
    return check_parity(file, ranker(columns).numpy(), columns)


RANKER = Stage(
    name="ranker",
    help="Train the DLRM ranker on impressions or on the retriever's candidates, and export it.",
    sections=("dlrm_ranker", "serving.ann"),
    parents=("data", "etl", "two_tower", "index"),
    fill=fill,
)
