"""Memory of the factorizations; what they find is tested with the linear part."""

import tracemalloc

import numpy as np
from scipy.sparse import csr_matrix

from cascade.models.retriever.item_to_item.factorizations import factorization, most_bytes, names


def test_the_estimate_bounds_what_fitting_takes():
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, 4000, 60_000), rng.integers(0, 1500, 60_000)
    matrix = csr_matrix((np.ones(60_000, np.float32), (rows, columns)), shape=(4000, 1500))
    tracemalloc.start()
    kept = [factorization(name, matrix, 64, 0) for name in names(1500)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(kept) == 4 and peak < most_bytes(4000, 1500, matrix.nnz, 64) < 2 * peak
