"""Building the FAISS index of item vectors: inner products, ids are item rows."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError
from ...core.progress import progress
from ...core.registry import BUILT_IN, find, naming
from .tuning import Queries, measure, tune

log = logging.getLogger(__name__)


class IndexType(Protocol):
    """A registered index type, which builds a FAISS index from item vectors."""

    def __call__(self, vectors: NDArray[np.float32], /) -> Any:
        """Build the index: trained, filled, and with its search parameters set.

        Args:
            vectors: float32 [n_items, D], of length 1; may be memory-mapped. Row i is item row i.

        Returns:
            A FAISS CPU index of metric METRIC_INNER_PRODUCT that holds the vectors in this order. It is written to a
            file and served by FAISS only, so the code that built it is not needed there. Its recall is measured against
            ``serving.ann.recall_target``; a notice is added to the release if it falls short.
        """
        ...


FLAT_BELOW = 20_000
"""``auto`` is flat below this many items, ivf from there on."""
HNSW_LINKS = 32
"""Neighbours of each vector in the HNSW graph (M)."""
POINTS_PER_LIST = 40
"""Training vectors of k-means per list; FAISS warns below 39."""
MOST_LISTS = 8192
"""Largest number of lists; the time to build grows in proportion."""
ROUNDS = 8
"""Iterations of k-means."""
CHUNK = 1 << 16
"""Vectors added at once."""


def resolve(kind: str, count: int) -> tuple[str, str | None]:
    """The index type that this machine builds for ``count`` items, and a notice if it is not the configured one.

    Args:
        kind: auto, flat, ivf, hnsw, gpu_flat, gpu_ivf or gpu_hnsw.
    """
    if kind == "auto":
        return ("flat" if count < FLAT_BELOW else "ivf"), None
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
    """The number of GPUs that this build of FAISS can use."""
    import faiss

    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def build_index(
    vectors: NDArray[np.float32],
    kind: str,
    queries: Queries | None = None,
    topk: int = 200,
    recall_target: float = 0.99,
) -> tuple[Any, dict[str, Any]]:
    """Build an index of ``vectors`` and tune its search parameter to ``recall_target``.

    Args:
        vectors: float32 [n_items, D], may be memory-mapped.
        kind: see `resolve`, or a registered index type. A GPU trains and fills the index; the result is a CPU index
            that any machine can read.
        queries: group of users -> query vectors float32 [n, D] on which recall is measured; the search parameter is not
            tuned without any.
        topk: recall is the share of the exact ``topk`` nearest items that the index finds.

    Returns:
        The index, and the content of ``index.json``: type, metric, items, search, recall, recall_target, queries,
        notices. The parameters in ``search`` are set on the index and stored in its file.

    Raises:
        ConfigError: if a registered index type raises, or builds an index that cannot be served.
    """
    count, dim = vectors.shape
    if kind not in BUILT_IN["index"]:
        with naming("index", kind):
            index = build_registered(vectors, find("index", kind, {}), f"serving.ann.type {kind}")
        info = measure(index, kind, vectors, queries or {}, min(topk, count), recall_target)
        return index, {"type": kind, "metric": "inner_product", "items": count, **info}
    resolved, notice = resolve(kind, count)
    base = resolved.removeprefix("gpu_")
    with every_core():
        index = {"flat": _flat, "ivf": _ivf, "hnsw": _hnsw}[base](count, dim)
        index = _fill_on_gpu(index, vectors) if resolved.startswith("gpu_") else _fill(index, vectors)
        tuned = tune(index, base, vectors, queries or {}, min(topk, count), recall_target)
    notices = [*([notice] if notice else []), *tuned.pop("notices")]
    return index, {"type": base, "metric": "inner_product", "items": count, **tuned, "notices": notices}


def build_registered(vectors: NDArray[np.float32], build: IndexType, what: str = "index") -> Any:
    """The FAISS index that a registered index type builds from ``vectors`` float32 [n_items, D].

    Raises:
        ConfigError: if the index cannot be served; the message starts with ``what``.
    """
    import faiss

    with every_core():
        index = build(vectors)
    made = (getattr(index, "ntotal", None), getattr(index, "d", None), getattr(index, "metric_type", None))
    if made != (*vectors.shape, faiss.METRIC_INNER_PRODUCT):
        raise ConfigError(
            f"{what}: expected a FAISS index by inner product of {len(vectors)} vectors of "
            f"{vectors.shape[1]} dims, got {type(index).__name__} with (ntotal, d, metric_type) = {made}"
        )
    return index


@contextmanager
def every_core() -> Iterator[None]:
    """Within it FAISS uses all cores and BLAS, whatever a served index in this process has set."""
    import faiss

    threads, threshold = faiss.omp_get_max_threads(), faiss.cvar.distance_compute_blas_threshold
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    faiss.cvar.distance_compute_blas_threshold = 20
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)
        faiss.cvar.distance_compute_blas_threshold = threshold


def _flat(count: int, dim: int) -> Any:
    import faiss

    return faiss.IndexFlatIP(dim)


def list_count(count: int) -> int:
    """4 sqrt(n) lists for n vectors, following the FAISS guidelines; fewer for very small and very large sets."""
    return max(1, min(int(4 * np.sqrt(count)), count // POINTS_PER_LIST, MOST_LISTS))


def _ivf(count: int, dim: int) -> Any:
    """fp16 vectors."""
    import faiss

    lists = list_count(count)
    return faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dim), dim, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )


def _hnsw(count: int, dim: int) -> Any:
    import faiss

    index = faiss.IndexHNSWFlat(dim, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    return index


def _fill_on_gpu(index: Any, vectors: NDArray[np.float32]) -> Any:
    import faiss

    on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    if not on_gpu.is_trained:
        on_gpu.train(_sample(vectors, index.nlist))
    add_all(on_gpu, vectors)
    return faiss.index_gpu_to_cpu(on_gpu)


def _fill(index: Any, vectors: NDArray[np.float32]) -> Any:
    if not index.is_trained:
        sample = _sample(vectors, index.nlist)
        _find_centroids(index, sample)
        index.train(sample)
    add_all(index, vectors)
    return index


def _find_centroids(index: Any, sample: NDArray[np.float32]) -> None:
    """Train the quantizer by k-means, which ``index.train`` then keeps; by single iterations, for the progress bar."""
    import faiss

    means = faiss.Clustering(index.d, index.nlist, index.cp)
    means.niter, means.min_points_per_centroid = 1, 1
    for _ in progress(range(ROUNDS), desc=f"k-means, {index.nlist} lists", unit="round"):
        means.train(sample, index.quantizer)


def _sample(vectors: NDArray[np.float32], lists: int) -> NDArray[np.float32]:
    """Up to `POINTS_PER_LIST` vectors per list, drawn with a fixed seed."""
    most = POINTS_PER_LIST * lists
    if len(vectors) <= most:
        return np.asarray(vectors)
    return np.asarray(vectors[np.sort(np.random.default_rng(0).choice(len(vectors), most, replace=False))])


def add_all(index: Any, vectors: NDArray[np.float32]) -> None:
    """Add ``vectors`` float32 [n, D] to a trained index, in their order."""

    with progress(total=len(vectors), desc="index", unit=" items", unit_scale=True) as bar:
        for at in range(0, len(vectors), CHUNK):
            part = np.ascontiguousarray(vectors[at : at + CHUNK])
            index.add(part)
            bar.update(len(part))
