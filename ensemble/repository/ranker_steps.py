"""The two steps that serve the ranker: lookup_items reads the item side, rank runs the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.artifact import Artifact
from ...core.errors import ArtifactError
from ...core.features import HISTORY, ascii_name
from ...models.index.stage import VECTORS
from ...models.onnx.external_tables import model_files
from ...models.ranker.item_part import write_item_part
from ...models.ranker.model_files import ITEM
from ...models.retriever.item_to_item.neighbour_weights import NEIGHBOUR_SCORES, NeighbourWeights
from ...workflows.history.transitions import TRANSITIONS, WIDTH, Transitions
from ..config import RankerServingConfig
from ..graph.ops import LookupItems, Rank
from ..graph.ops.onnx_model import Inputs
from ..graph.request_graph import Step
from .ranker_choice import choose_ranker


def ranker_steps(
    parts: Mapping[str, Artifact],
    config: RankerServingConfig,
    users: Inputs,
    items: Inputs,
    work: Path,
    decay: float | None = None,
) -> tuple[Step, Step]:
    """The steps lookup_items and rank; the item snapshot of the first holds what the second reads.

    Where the retriever orders the list, rank is no more than its calibrated score: the inner product of query and item
    vectors, and the item-item score where there is one.

    Args:
        parts: the artifacts etl, index and ranker.
        users: features of the user and of the context.
        items: features of the item.
        work: folder for the item parts of a split ranker.
        decay: of the retriever's item-item weights, whose files are in ``work``; None if it has none.
    """
    vectors, ranker = parts["index"].path / VECTORS, parts["ranker"]
    dim = np.load(vectors, mmap_mode="r").shape[1]
    model, items, tables = served_ranker(parts, config, items, work)
    for_item: Inputs = {**items, "item_vectors": ("float32", dim), TRANSITIONS: ("float32", WIDTH)}
    of_pair: Inputs = {} if decay is None else {NEIGHBOUR_SCORES: ("float32", 1)}
    of_user, of_item, of_pair = model_inputs(model, {**users, "query": ("float32", dim)}, for_item, of_pair)
    read = {name: spec for name, spec in items.items() if name in of_item}
    op, files = LookupItems(read, dim), {_stored(file): file for file in tables.values() if file.stem in read}
    if TRANSITIONS in of_item:
        op = replace(op, last=ranker.metrics["transitions"]["last"], history=users[HISTORY][1])
        files |= {file.name: file for file in Transitions.files(ranker.path).values()}
    if of_pair:
        op = replace(op, decay=decay, history=users[HISTORY][1])
        files |= {file.name: file for file in NeighbourWeights.files(work).values()}
    rank = Rank(of_user, of_item, bool(of_pair))
    return Step(op, {**files, VECTORS: vectors}), Step(rank, model_files(model, "ranker.onnx"))


def _stored(file: Path) -> str:
    """The name, in the folder of lookup_items, of the table of a feature."""
    return f"{ascii_name(file.stem)}.npy"


def served_ranker(
    parts: Mapping[str, Artifact], config: RankerServingConfig, items: Inputs, work: Path
) -> tuple[Path, Inputs, dict[str, Path]]:
    """The ranker's ONNX file, the columns of the item snapshot that it reads, and the snapshot's files.

    Args:
        parts: the artifacts etl and ranker.
        items: features of the item.
        work: folder for the item parts, which are computed here if ``config`` and the ranker allow the split.
    """
    tables = {name: parts["etl"].path / "items" / f"{name}.npy" for name in items}
    choice = choose_ranker(parts, config)
    model = parts["ranker"].path / choice.model
    if choice.part_widths is None:
        return model, items, {file.name: file for file in tables.values()}
    files = write_item_part(parts["ranker"].path / ITEM, tables, choice.part_widths, work)
    inputs: Inputs = {name: ("float32", width) for name, width in choice.part_widths.items()}
    return model, inputs, {file.name: file for file in files}


def model_inputs(model: Path, *offered: Inputs) -> tuple[Inputs, ...]:
    """Those of the ``offered`` inputs that an ONNX model has: the exporter drops inputs that a model does not use.

    Raises:
        ArtifactError: if the model has an input that is not offered.
    """
    import onnx

    names = [entry.name for entry in onnx.load(str(model), load_external_data=False).graph.input]
    known = [name for inputs in offered for name in inputs]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ArtifactError(f"{model.name}: takes {', '.join(unknown)}; the graph offers {', '.join(known)}")
    return tuple({name: spec for name, spec in inputs.items() if name in names} for inputs in offered)
