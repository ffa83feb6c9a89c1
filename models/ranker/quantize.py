"""Quantization of the pair model to int8, and what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import metrics
from ..retriever.user_items import UserItems
from .export import PairColumns
from .item_part import QUERY, SHARE, SLOTS
from .model_files import INT8, PAIR

if TYPE_CHECKING:
    from ..training.rows import Events
    from .rows import Retriever, ValidRows

CALIBRATION_USERS, OVERLAP_USERS, CHUNK = 128, 512, 32
"""Users for the ranges of activations, users for the overlap of top lists, and users scored at once."""
TOP = 50


@dataclass(frozen=True)
class QuantizationLoss:
    """How the int8 model compares with the fp32 one, on the validation part."""

    auc_loss: float
    """AUC of the fp32 logits minus that of the int8 logits, over all labelled rows."""
    top50_overlap: float
    """Share of the fp32 model's top 50 that is in the int8 model's top 50; with fewer than 100 candidates, top half."""


def quantize(
    folder: Path, columns: PairColumns, retriever: Retriever, train: Events, valid: ValidRows | None
) -> QuantizationLoss | None:
    """Write ``ranker_pair_int8.onnx`` and compare it with the fp32 model.

    Returns:
        None, without writing a file, if the validation part does not hold both labels.
    """
    from .candidates import PAD

    if valid is None or len(np.unique(valid.label[valid.candidates != PAD])) < 2:
        return None
    some = train.sample(CALIBRATION_USERS, seed=1)
    items = retrieved(retriever, columns, some)
    parts = [np.arange(at, min(at + CHUNK, len(some))) for at in range(0, len(some), CHUNK)]
    to_int8(folder / PAIR, folder / INT8, (columns(some.take(part), items[part]) for part in parts))
    models = folder / PAIR, folder / INT8
    shown = valid.events.sample(OVERLAP_USERS, seed=1)
    fp32, int8 = scores(models, columns, valid.events, valid.candidates)
    fp32_shown, int8_shown = scores(models, columns, shown, retrieved(retriever, columns, shown))
    return QuantizationLoss(auc_loss(fp32, int8, valid.label), overlap(fp32_shown, int8_shown))


def to_int8(pair: Path, out: Path, batches: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    """Write ``pair`` with int8 weights (one scale per column) and int8 inputs in the layers that see candidates.

    The ranges of the layers' inputs are measured on ``batches`` of columns. Dynamic ranges, taken from each call, would
    make an answer depend on the other requests of its batch.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    from ..onnx.external_tables import move_tables_out

    model = onnx.load(str(pair), load_external_data=False)
    names = [value.name for value in model.graph.input]
    quantize_static(
        str(pair),
        str(out),
        CalibrationBatches({name: columns[name] for name in names} for columns in batches),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        nodes_to_quantize=candidate_layers(model),
    )
    model = onnx.load(str(out))
    move_tables_out(model, out.parent)
    onnx.save(model, str(out))


class CalibrationBatches:
    """Batches of inputs in the form that onnxruntime's quantizer reads."""

    def __init__(self, batches: Iterable[Mapping[str, NDArray[Any]]]) -> None:
        self.batches: Iterator[Mapping[str, NDArray[Any]]] = iter(batches)

    def get_next(self) -> Mapping[str, NDArray[Any]] | None:
        return next(self.batches, None)


def candidate_layers(model: Any) -> list[str]:
    """Names of the MatMul and Gemm nodes that multiply constant weights with values computed from item parts."""
    weights = {tensor.name for tensor in model.graph.initializer}
    of_items, found = {SLOTS, SHARE, QUERY}, []
    for node in model.graph.node:  # in topological order
        if of_items.isdisjoint(node.input):
            continue
        of_items.update(node.output)
        if node.op_type in ("MatMul", "Gemm") and not weights.isdisjoint(node.input):
            found.append(node.name)
    return found


def retrieved(retriever: Retriever, columns: PairColumns, events: Events) -> NDArray[np.int32]:
    """The retriever's candidates int32 [n, K] of events, without leaving out seen items."""
    from scipy.sparse import csr_matrix

    nothing = csr_matrix((1, len(columns.tensors.item_ids)), dtype=bool)
    return retriever(columns.tensors, events, UserItems(nothing, np.zeros(len(events), np.int64)))


def scores(
    models: Iterable[Path], columns: PairColumns, events: Events, candidates: NDArray[np.int32]
) -> list[NDArray[np.float32]]:
    """Logits float32 [n, K] of each model; -inf where there is no candidate."""
    from ..onnx.export import run, session
    from .candidates import PAD
    from .rows import padded_items

    sessions, found = [session(model) for model in models], []
    for at in range(0, len(events), CHUNK):
        part = np.arange(at, min(at + CHUNK, len(events)))
        feed = columns(events.take(part), padded_items(candidates[part]))
        found.append([run(opened, feed) for opened in sessions])
    return [np.where(candidates == PAD, -np.inf, np.concatenate(logits)) for logits in zip(*found, strict=True)]


def auc_loss(fp32: NDArray[np.float32], int8: NDArray[np.float32], label: NDArray[np.bool_]) -> float:
    """`QuantizationLoss.auc_loss` of logits [n, K] and labels [n, K]; padding (-inf) does not count."""
    known = ~np.isneginf(fp32)
    aucs = [metrics.auc(logits[known], label[known], of) for logits, of in ((fp32, PAIR), (int8, INT8))]
    assert aucs[0] is not None and aucs[1] is not None, "`quantize` checks that both labels are there"
    return aucs[0] - aucs[1]


def overlap(fp32: NDArray[np.float32], int8: NDArray[np.float32], most: int = TOP) -> float:
    """`QuantizationLoss.top50_overlap` of logits [n, K]."""
    top = min(most, max(1, fp32.shape[1] // 2))
    both = [np.argsort(-logits, axis=1, kind="stable")[:, :top] for logits in (fp32, int8)]
    return float(np.mean([len(np.intersect1d(*pair)) / top for pair in zip(*both, strict=True)]))
