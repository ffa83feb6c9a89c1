"""Export of the ranker to ONNX: as one model, and split into an item model and a pair model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...workflows.history.transitions import TRANSITIONS, WIDTH
from ..retriever.item_to_item.neighbour_weights import NEIGHBOUR_SCORES
from .item_part import split_part
from .model_files import ITEM, PAIR, WHOLE

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors
    from ..training.rows import Events
    from .retriever_scores import RetrieverScores
    from .score_fusion import Ranker
    from .transition_features import TransitionFeatures

PARITY_USERS, PARITY_CANDIDATES = 64, 32
"""Users, and candidates of each, on which the ONNX models are compared with TensorFlow."""
PART_ROWS = 2048
"""Rows whose item parts are computed at once: entries of long lists and texts are many."""
Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class PairColumns:
    """The inputs of the exported models for events [n] and item rows [n, K]."""

    similarity: RetrieverScores
    tensors: Tensors
    item_model: Path | None
    """None without item parts."""
    widths: Mapping[str, int]
    """Table of the item part -> its width; empty without item parts."""
    followers: TransitionFeatures | None = None

    @cached_property
    def _items(self) -> Any:
        from ..onnx.export import session

        return session(self.item_model) if self.item_model else None

    def __call__(self, events: Events, rows: NDArray[np.integer[Any]]) -> Columns:
        from ..training.rows import item_columns, user_columns

        items = item_columns(self.tensors, rows)
        retriever = self.similarity.columns(events, rows)
        both = self.followers.columns(events, rows) if self.followers else {}
        return {**user_columns(self.tensors, events), **items, **self.parts(items, rows.shape), **retriever, **both}

    def parts(self, items: Columns, shape: tuple[int, ...]) -> Columns:
        """The item parts [n, K, width] of items with features [n, K, L], computed by the item model."""
        from ..onnx.export import run

        if not self.widths:
            return {}
        flat = {name: values.reshape(-1, values.shape[-1]) for name, values in items.items()}
        rows = len(next(iter(flat.values())))
        slices = [slice(at, at + PART_ROWS) for at in range(0, max(1, rows), PART_ROWS)]
        every = [run(self._items, {name: values[some] for name, values in flat.items()}) for some in slices]
        found = split_part(np.concatenate(every), self.widths)
        return {name: part.reshape(*shape, -1) for name, part in found.items()}


def export_ranker(
    folder: Path,
    ranker: Ranker,
    similarity: RetrieverScores,
    tensors: Tensors,
    followers: TransitionFeatures | None = None,
) -> PairColumns:
    """Write ``ranker.onnx``, ``ranker_item.onnx`` and ``ranker_pair.onnx``; returns the inputs of these models.

    If the retriever orders the list, only the first is written, which then reads what the retriever scores with.
    """
    from .._merlin import tf
    from ..onnx.export import export, specs

    users, item = tensors.schema.side("user", "context"), tensors.schema.side("item")
    dim, widths = similarity.vectors.shape[1], ranker.dlrm.part_widths
    retriever = [tf.TensorSpec([None, dim], name="query"), tf.TensorSpec([None, None, dim], name="item_vectors")]
    retriever += [tf.TensorSpec([None, None], name=NEIGHBOUR_SCORES)] if ranker.neighbours else []
    if ranker.fusion.order == "retriever":
        export(folder / WHOLE, ranker, retriever, "logits")
        return PairColumns(similarity, tensors, None, {}, followers)
    both = [tf.TensorSpec([None, None, WIDTH], name=TRANSITIONS)] if followers else []
    fused = [*(retriever if ranker.fusion.retriever else []), *both]
    export(folder / WHOLE, ranker, [*specs(users, None), *specs(item, None, None), *fused], "logits")
    export(folder / ITEM, ranker.dlrm.item_part, specs(item, None), "item_part")
    part = [tf.TensorSpec([None, None, width], name=name) for name, width in widths.items()]
    export(folder / PAIR, ranker.pair, [*specs(users, None), *part, *fused], "logits", empty=False)
    return PairColumns(similarity, tensors, folder / ITEM, widths, followers)


def differences(folder: Path, ranker: Ranker, columns: PairColumns) -> tuple[float, float]:
    """Compare the models on users of the training part and randomly drawn items.

    Returns:
        The largest absolute difference between the whole model and TensorFlow; and the largest difference of the split
        model to TensorFlow and to the whole model, relative to max(1, |logit|).

    Raises:
        ArtifactError: if the first is above the tolerance.
    """
    from ..onnx.export import check_parity, run, session
    from ..training.rows import Events

    events = Events.of(columns.tensors.interactions("train")).sample(PARITY_USERS, seed=0)
    items = np.random.default_rng(0).integers(0, len(columns.tensors.item_ids), (len(events), PARITY_CANDIDATES))
    feed = columns(events, items)
    expected = ranker(feed).numpy()
    difference = check_parity(folder / WHOLE, expected, feed)
    if columns.item_model is None:
        return difference, 0.0
    whole, split = (run(session(folder / name), feed) for name in (WHOLE, PAIR))
    return difference, max(relative(split, expected), relative(split, whole))


def relative(got: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference, relative to max(1, |expected|); infinite if the shapes differ."""
    if got.shape != expected.shape:
        return float("inf")
    return float((np.abs(got - expected) / np.maximum(1, np.abs(expected))).max(initial=0.0))
