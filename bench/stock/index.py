"""The index file that QueryFaiss reads: ids are raw item ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.merlin_env import prepare_merlin

PROBES = 8
"""Lists of 32 that merlin-systems' index searches."""


def write_index(file: Path, ids: NDArray[np.int64], vectors: NDArray[np.float32], candidates: int) -> str:
    """Write merlin-systems' own index, or a flat one if that might find fewer than ``candidates``.

    Args:
        ids: [n_items].
        vectors: [n_items, D].

    Returns:
        Which of the two it is.
    """
    import faiss
    import pandas as pd

    prepare_merlin()
    from merlin.systems.dag.ops.faiss import setup_faiss

    if len(ids) >= 32:  # k-means wants a vector for each list
        setup_faiss(pd.DataFrame({"item_id": ids, "embedding": list(vectors)}), str(file))
        if fewest(faiss.read_index(str(file))) >= candidates:
            return "IVF32,Flat"
    index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors.shape[1]))
    index.add_with_ids(vectors, ids)
    faiss.write_index(index, str(file))
    return "Flat"


def fewest(index: Any) -> int:
    """Vectors in the ``PROBES`` smallest lists: no search finds fewer."""
    sizes = [index.invlists.list_size(at) for at in range(index.nlist)]
    return int(np.sort(sizes)[:PROBES].sum())
