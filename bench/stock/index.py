"""Writes the FAISS index that QueryFaiss reads; its ids are raw item ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.merlin_env import prepare_merlin

PROBES = 8
"""Inverted lists, of 32, that a search in merlin-systems' index visits."""


def write_index(file: Path, ids: NDArray[np.int64], vectors: NDArray[np.float32], candidates: int) -> str:
    """Write merlin-systems' own index, or a flat index if the former might find fewer than ``candidates`` items.

    Args:
        ids: int64 [n_items], raw.
        vectors: float32 [n_items, D].

    Returns:
        The type of the index: ``IVF32,Flat`` or ``Flat``.
    """
    import faiss
    import pandas as pd

    prepare_merlin()
    from merlin.systems.dag.ops.faiss import setup_faiss

    if len(ids) >= 32:  # k-means needs a vector for each list
        setup_faiss(pd.DataFrame({"item_id": ids, "embedding": list(vectors)}), str(file))
        if fewest(faiss.read_index(str(file))) >= candidates:
            return "IVF32,Flat"
    index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1]))
    index.add_with_ids(vectors, ids)
    faiss.write_index(index, str(file))
    return "Flat"


def fewest(index: Any) -> int:
    """The number of vectors in the ``PROBES`` smallest lists, a lower bound of what a search finds."""
    sizes = [index.invlists.list_size(at) for at in range(index.nlist)]
    return int(np.sort(sizes)[:PROBES].sum())
