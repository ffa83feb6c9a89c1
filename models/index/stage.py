"""The index stage: the vectors of all items, computed by the exported item tower, and the FAISS index over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.disk import new_array
from ...core.memory import MemoryNeed
from ...core.progress import progress
from ...core.stage import Sections, Stage
from ..retriever.stage import CHECKPOINT, ITEM, QUERY, of_training_part

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Tensors

VECTORS, FAISS, INFO = "item_vectors.npy", "index.faiss", "index.json"
CHUNK = 8192
"""Items computed at once."""
QUERIES = 1000
"""Largest number of events on whose query vectors recall is measured."""
COPIES = 3
"""Of the vectors: the file, the index, and a flat index to compare with."""
UNKNOWN_SHARE = 4
"""One in this many of them is measured again as an unknown user."""


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write ``item_vectors.npy`` float32 [n_items, D], ``index.faiss`` and ``index.json``.

    Towers that know the training part alone, see `of_training_part`, have theirs in ``checkpoint/``.
    """
    from ...workflows.etl.tensors import Tensors

    ann, tensors = sections["serving.ann"], Tensors.load(parents["etl"].path)
    towers = parents["two_tower"].path
    if of_training_part(towers, ITEM) != towers / ITEM:
        (folder / CHECKPOINT).mkdir()
        write_index(folder / CHECKPOINT, tensors, towers / CHECKPOINT, ann)
    return write_index(folder, tensors, towers, ann)


def write_index(folder: Path, tensors: Tensors, towers: Path, ann: Any) -> dict[str, Any]:
    """Write the files of ``fill`` for the towers in the folder ``towers``; returns what is in ``index.json``, and D."""
    import faiss

    from .vector_index import build_index

    vectors = item_vectors(tensors, towers / ITEM, folder / VECTORS)
    queries = query_vectors(tensors, towers / QUERY)
    index, info = build_index(vectors, ann.type, queries, ann.topk, ann.recall_target)
    faiss.write_index(index, str(folder / FAISS))
    (folder / INFO).write_text(json.dumps(info, indent=1))
    return {**info, "dim": vectors.shape[1]}


def item_vectors(tensors: Tensors, tower: Path, file: Path) -> NDArray[np.float32]:
    """Compute the vectors of all items into ``file``: float32 [n_items, D] in the order of item rows, memory-mapped."""

    from ..onnx.export import run, session
    from ..training.rows import item_columns

    model, count = session(tower), len(tensors.item_ids)
    dim = run(model, item_columns(tensors, np.arange(1))).shape[1]
    vectors = new_array(file, np.float32, (count, dim))
    with progress(total=count, desc="item vectors", unit=" items", unit_scale=True) as bar:
        for at in range(0, count, CHUNK):
            rows = np.arange(at, min(at + CHUNK, count))
            vectors[rows[0] : rows[-1] + 1] = run(model, item_columns(tensors, rows))
            bar.update(len(rows))
    return np.load(file, mmap_mode="r")  # type: ignore[no-any-return]


def query_vectors(tensors: Tensors, tower: Path) -> dict[str, NDArray[np.float32]]:
    """Query vectors float32 [n, D] of positive events, of the validation part if there is one.

    ``known`` holds them with the features of their users, ``unknown`` some of them with the features of a user whom the
    feature store does not know, who has an empty history.
    """
    from ..onnx.export import run, session
    from ..training.rows import Events, unknown_user, user_columns

    found = (Events.positives(tensors.interactions(part)).sample(QUERIES, seed=0) for part in ("valid", "train"))
    events = next(filter(len, found), None)
    if events is None:
        return {}
    known, model = user_columns(tensors, events), session(tower)
    some = {name: values[::UNKNOWN_SHARE] for name, values in known.items()}
    stranger = unknown_user(tensors.schema, tensors.users)
    some |= {name: np.broadcast_to(row, some[name].shape).astype(some[name].dtype) for name, row in stranger.items()}
    return {"known": run(model, known), "unknown": run(model, some)}


def memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """The vectors, their index, and another index that its recall is measured with."""
    from ..onnx.export import session

    items = len(np.load(parents["etl"].path / "item_counts.npy", mmap_mode="r"))
    width = int(session(parents["two_tower"].path / ITEM).get_outputs()[0].shape[-1])
    return MemoryNeed(
        {f"{items:,} vectors of {width} numbers, in {COPIES} copies": COPIES * 4 * width * items},
        "lower the last width of two_tower.*.mlp, or two_tower.linear",
    )


INDEX = Stage(
    name="index",
    help="Compute all item vectors and build the vector index.",
    sections=("serving.ann",),
    parents=("etl", "two_tower"),
    fill=fill,
    memory=memory,
    version=3,
)
