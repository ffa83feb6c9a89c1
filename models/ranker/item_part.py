"""The item part of the ranker: what depends only on the item, computed once for the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.disk import new_array
from ...core.progress import progress

SLOTS, SHARE, QUERY = "item_slots", "item_share", "item_query"
"""The tables of the item part: the item's vectors side by side, its term of the top network's first layer, and its
target attention query."""
CHUNK = 8192
"""Items computed at once."""


def write_item_part(model: Path, tables: Mapping[str, Path], widths: Mapping[str, int], folder: Path) -> list[Path]:
    """Compute the item parts of all items; returns the files that it writes, ``<table>.npy`` float32 [items, width].

    Args:
        model: ``ranker_item.onnx``.
        tables: item feature -> .npy [items, L].
        widths: table of the item part -> width, in the order of the model's output.
        folder: where the files go.
    """

    from ..onnx.export import run, session

    ranker = session(model)
    types = {value.name: value.type for value in ranker.get_inputs()}
    features = {name: np.load(tables[name], mmap_mode="r") for name in types}
    items = len(next(iter(features.values())))
    files = {name: folder / f"{name}.npy" for name in widths}
    parts = {name: new_array(file, np.float32, (items, widths[name])) for name, file in files.items()}
    with progress(total=items, desc="item parts", unit="item", unit_scale=True) as bar:
        for at in range(0, items, CHUNK):
            chunk = {name: cast(table[at : at + CHUNK], types[name]) for name, table in features.items()}
            found = run(ranker, chunk)
            for name, values in split_part(found, widths).items():
                parts[name][at : at + CHUNK] = values
            bar.update(len(found))
    return [*files.values()]


def split_part(found: NDArray[np.float32], widths: Mapping[str, int]) -> dict[str, NDArray[np.float32]]:
    """The item model's output [N, sum of widths], split into its tables."""
    return dict(zip(widths, np.split(found, np.cumsum([*widths.values()])[:-1], axis=1), strict=True))


def cast(values: NDArray[Any], onnx_type: str) -> NDArray[Any]:
    """``values`` in the dtype of an ONNX input: int64 or float32."""
    return values.astype(np.int64 if onnx_type == "tensor(int64)" else np.float32)
