"""Requests as a server keeps them, asked of a graph in this process."""

from __future__ import annotations

import numpy as np

from cascade.core.signature import Columns
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.protocol.skew_rows import SkewRow
from cascade.ensemble.triton.skew_sampler import PassSample, rows_of

KEY = b"k" * 32


def served_rows(executor: Executor, columns: Columns, at: float, release: str) -> list[SkewRow]:
    """What is kept of a request at the time ``at``, seconds since 1970, with the features that ``executor`` gives."""
    sample = PassSample(np.arange(len(columns["user_id"])), {})
    sample.at = at
    executor.run_pass(executor.batcher.accept(columns), watch=sample)
    return rows_of(KEY, sample, release)
