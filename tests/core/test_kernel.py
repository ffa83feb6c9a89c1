"""Kernels: the arguments that they accept, and the cache of their machine code."""

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

from cascade.core.kernel import (
    INT64,
    Kernel,
    kernel,
    read,
    write,
)

TYPES = (read(INT64, 2), INT64, write(INT64, 2))


@kernel(TYPES)
def times(values, factor, out):
    """Fill ``out`` [n, m] with ``values`` [n, m] times ``factor``."""
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            out[row, column] = factor * values[row, column]


def call(function, values):
    out = np.empty(values.shape, np.int64)
    function(values, 3, out)
    return out.tolist()


def test_accepts_read_only_arrays():
    values = np.array([[1, 2]])
    values.flags.writeable = False
    assert call(times, values) == [[3, 6]]


ONES = np.ones((2, 3), np.int64)


@pytest.mark.parametrize("values", [ONES.astype(np.int32), ONES[0], ONES[:, :2]])
def test_refuses_other_types_instead_of_compiling_again(values):
    with pytest.raises(TypeError, match="No matching definition"):
        call(times, values)


@pytest.mark.slow
def test_without_a_cache_folder_every_process_compiles_the_kernel(caplog):
    names = {}
    exec("def double(values, factor, out):\n    out[:] = 2 * values", names)  # no source file, so no cache folder
    with caplog.at_level(logging.WARNING):
        assert call(Kernel(names["double"], (TYPES,)), np.array([[4]])) == [[8]]
    assert "compiled again by every process" in caplog.text and "double" in caplog.text


@pytest.mark.slow
def test_the_next_process_loads_the_kernel_from_the_cache(tmp_path):
    code = (
        "from cascade.ensemble.graph.ops.drop_seen import DropSeen, keep_unseen\n"
        "DropSeen(1).load(None)\n"
        "print(sum(keep_unseen._compiled.stats.cache_hits.values()))"
    )
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True) for _ in range(2)]
    assert [int(run.stdout) for run in runs] == [0, 1]
