"""The vector index: FAISS, by inner product, ids are item rows."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

HNSW_LINKS = 32
POINTS_PER_LIST = 39
"""FAISS asks for at least that many training points for each list."""


def resolve(kind: str) -> tuple[str, str | None]:
    """The index type that this machine builds, and a notice if it is not the one asked for.

    Args:
        kind: flat, ivf, hnsw, or gpu_ before one of them.
    """
    if not kind.startswith("gpu_"):
        return kind, None
    twin = kind.removeprefix("gpu_")
    if twin != "hnsw" and gpus() > 0:
        return kind, None
    why = "FAISS has no HNSW on the GPU" if gpus() > 0 else "no GPU that FAISS can use"
    notice = f"serving.ann.type {kind}: {why}, runs as {twin}"
    log.warning(notice)
    return twin, notice


def gpus() -> int:
    """GPUs that this build of FAISS can use."""
    import faiss

    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def build_index(vectors: NDArray[np.float32], kind: str) -> tuple[Any, dict[str, int]]:
    """An index of ``vectors`` float32 [n_items, D] and its search parameters, which are set on it.

    Args:
        kind: as ``resolve`` gives it; a GPU trains and fills, the result is a CPU index that any machine can read.
    """
    import faiss

    base = kind.removeprefix("gpu_")
    index, search = {"flat": _flat, "ivf": _ivf, "hnsw": _hnsw}[base](*vectors.shape)
    if kind.startswith("gpu_"):
        on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
        on_gpu.train(vectors)
        on_gpu.add(vectors)
        index = faiss.index_gpu_to_cpu(on_gpu)
    else:
        index.train(vectors)
        index.add(vectors)
    for name, value in search.items():
        faiss.ParameterSpace().set_index_parameter(index, name, value)
    return index, search


def _flat(count: int, dim: int) -> tuple[Any, dict[str, int]]:
    import faiss

    return faiss.IndexFlatIP(dim), {}


def _ivf(count: int, dim: int) -> tuple[Any, dict[str, int]]:
    """4 sqrt(n) lists, as FAISS's guidelines have it, fewer for small sets; an eighth of them are searched."""
    import faiss

    lists = max(1, min(int(4 * np.sqrt(count)), count // POINTS_PER_LIST))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, faiss.METRIC_INNER_PRODUCT)
    return index, {"nprobe": max(min(lists, 8), lists // 8)}


def _hnsw(count: int, dim: int) -> tuple[Any, dict[str, int]]:
    import faiss

    index = faiss.IndexHNSWFlat(dim, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    return index, {"efSearch": 512}
