"""Whether a release answers as fast as the live one: both are asked in turns in one process, one user at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...ensemble.graph.executor import Executor
from ..config import GatesConfig
from .mapped_pages import let_go
from .measure import columns_for
from .requests import HeldOutRequests
from .verdict import GateVerdict, judged

NAME = "latency and size"
ROUNDS, WARM_UP = 60, 10
"""Requests that each release answers, and those of them, at the start, that do not count."""
QUARTER = 25
"""Percentile of the times that is compared: what a busy machine adds comes on top, and seldom to three of four."""
NOTED = 0.1
"""A stage that takes a smaller share of the live release's time is not judged by itself: it is mostly noise."""
TOTAL = "total"
Milliseconds = Mapping[str, float]
"""Stage -> first quartile; ``total`` is that of the whole."""


def measure_latency(
    candidate: Executor, live: Executor, requests: HeldOutRequests
) -> tuple[Milliseconds, Milliseconds]:
    """The first quartiles of both releases, without the lookup of the user: offline, it reads no feature store."""
    taken: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    for number in range(ROUNDS):
        at = np.array([number % len(requests)])
        for executor, times in zip((candidate, live), taken, strict=True):
            times.append(executor.run(columns_for(executor, requests, at))[1])
            let_go()  # of large releases; the next request reads other items anyway
    return _quartiles(taken[0][WARM_UP:]), _quartiles(taken[1][WARM_UP:])


def latency_verdict(
    candidate: Milliseconds, live: Milliseconds, sizes: tuple[int, int], config: GatesConfig
) -> GateVerdict:
    """Figures: ``total`` and each stage of both releases in milliseconds, ``<stage>`` and ``live <stage>``, and
    ``bytes``, ``live bytes`` of their files. These are mapped into memory, so their size is the memory of a server.

    Args:
        sizes: bytes of the candidate's and of the live release's files.
    """
    figures = {**candidate, **{f"live {name}": value for name, value in live.items()}}
    figures |= {"bytes": float(sizes[0]), "live bytes": float(sizes[1])}
    judged_ones = [name for name in candidate if live.get(name, 0) >= NOTED * live[TOTAL]]
    ratios = {f"{name} takes": candidate[name] / live[name] for name in judged_ones if live[name] > 0}
    ratios["the files take"] = sizes[0] / max(sizes[1], 1)
    faults = [
        f"{what} {ratio:.1f} times as much as in the live release, allowed: {config.max_latency_ratio:g} times"
        for what, ratio in ratios.items()
        if ratio > config.max_latency_ratio
    ]
    good = (
        f"{candidate[TOTAL]:.2f} ms a request, live {live[TOTAL]:.2f} ms; {ratios['the files take']:.2f} times the size"
    )
    return judged(NAME, faults, good, figures)


def _quartiles(times: list[dict[str, float]]) -> dict[str, float]:
    stages = {name: [each[name] for each in times] for name in times[0] if not name.startswith("lookup_user")}
    stages[TOTAL] = [sum(values) for values in zip(*stages.values(), strict=True)]
    return {name: float(np.percentile(values, QUARTER)) for name, values in stages.items()}
