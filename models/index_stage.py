"""The index stage: vectors of all items through the exported item tower, and the FAISS index over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.artifact import Artifact
from ..core.stage import Sections, Stage
from .two_tower_stage import ITEM

if TYPE_CHECKING:
    from ..workflows.tensors import Tensors

VECTORS, FAISS, INFO = "item_vectors.npy", "index.faiss", "index.json"
CHUNK = 8192


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> Mapping[str, Any]:
    """Write ``item_vectors.npy`` float32 [n_items, D], ``index.faiss`` and ``index.json``."""
    import faiss

    from ..workflows.tensors import Tensors
    from .index import build_index, resolve

    asked = sections["serving.ann"].type  # type: ignore[attr-defined]
    vectors = item_vectors(Tensors.load(parents["etl"].path), parents["two_tower"].path / ITEM)
    kind, notice = resolve(asked)
    index, search = build_index(vectors, kind)
    np.save(folder / VECTORS, vectors)
    faiss.write_index(index, str(folder / FAISS))
    info = {"type": kind.removeprefix("gpu_"), "metric": "inner_product", "search": search, "items": len(vectors)}
    (folder / INFO).write_text(json.dumps(info, indent=1))
    return {**info, "dim": vectors.shape[1], "notices": [notice] if notice else []}


def item_vectors(tensors: Tensors, tower: Path) -> NDArray[np.float32]:
    """All items through the item tower, float32 [n_items, D] in the order of item rows."""
    from .events import item_columns
    from .onnx_export import run, session

    model, count = session(tower), len(tensors.item_ids)
    starts = range(0, count, CHUNK)
    parts = [run(model, item_columns(tensors, np.arange(at, min(at + CHUNK, count)))) for at in starts]
    return np.concatenate(parts)


INDEX = Stage(
    name="index",
    help="Compute all item vectors and build the vector index.",
    sections=("serving.ann",),
    parents=("etl", "two_tower"),
    fill=fill,
)
