"""All gates of two loaded releases: ask both the same requests, and judge what they answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import CascadeError
from ...ensemble.graph.executor import Executor
from ..config import GatesConfig
from . import answers, catalogue, index, quality, scores, spread
from .calibration import NAME as CALIBRATION
from .calibration import calibration_verdict
from .latency import NAME as LATENCY
from .latency import latency_verdict, measure_latency
from .measure import catalogue_of, item_ids_of, measure
from .repeatable import NAME as REPEATABLE
from .repeatable import repeatable_verdict
from .requests import HeldOutRequests
from .verdict import GateVerdict, unknown

LOADED = "loaded"
"""The gate that a release passes if it can be loaded, and can answer the requests."""
USERS = "held-out users"
"""Says why there is nobody to ask; left out if there is."""
OF_REQUESTS = (REPEATABLE, scores.SCORES, answers.NAME)
AGAINST_LIVE = (spread.NAME, scores.SHIFT, quality.QUALITY, quality.SLICES, CALIBRATION, LATENCY)
"""Gates that need a live release, and requests."""


def compare(
    candidate: Executor,
    live: Executor | None,
    requests: HeldOutRequests | None,
    config: GatesConfig,
    sizes: tuple[int, int] = (0, 0),
    why_none: str = "there are no requests of held-out users",
    taken_off: NDArray[Any] | None = None,
    recalled: NDArray[Any] | None = None,
) -> Iterator[GateVerdict]:
    """The verdicts of all gates but that of the digests.

    Args:
        live: None leaves out what needs it.
        requests: None makes inconclusive what needs them.
        sizes: bytes of the candidate's and of the live release's files.
        why_none: why there are no requests.
        taken_off: ids of items that an operator has named to be taken off.
        recalled: those that were taken off the live release.
    """
    rows = index.table_sizes(candidate)
    ids, live_ids = item_ids_of(candidate), None if live is None else item_ids_of(live)
    yield catalogue.catalogue_verdict(ids, live_ids, rows, config, taken_off, recalled)
    if not catalogue.fit_together(rows):
        return
    if requests is None:
        yield unknown(USERS, why_none)
        yield index.index_verdict(index.measure_index(candidate, np.zeros((0, 1), np.float32), config.seed), config)
        for gate in (*OF_REQUESTS, *(AGAINST_LIVE if live else ())):
            yield unknown(gate, "there is nobody to ask")
        return
    known = catalogue_of([ids, requests.items, *([] if live_ids is None else [live_ids])])
    try:
        ours = measure(candidate, requests, known)
        again = repeatable_verdict(candidate, requests)
    except Exception as error:  # a release may be wrong in any way, and its models raise errors of their own
        yield GateVerdict(LOADED, "fail", f"it cannot answer: {_said(error)}")
        return
    yield GateVerdict(LOADED, "pass", f"answers the requests of {len(requests):,} users", {"users": len(requests)})
    yield again
    yield index.index_verdict(index.measure_index(candidate, ours.queries, config.seed), config)
    try:
        theirs = None if live is None else measure(live, requests, known)
    except Exception as error:
        yield from (unknown(gate, f"the live release cannot answer: {_said(error)}") for gate in AGAINST_LIVE)
        live = theirs = None
    yield scores.scores_verdict(ours, theirs, config)
    yield answers.answers_verdict(ours, theirs, config)
    if live is None or theirs is None:
        return
    relevant = quality.relevant_items(requests, known)
    yield spread.spread_verdict(ours, theirs, config)
    yield scores.shift_verdict(ours, theirs, config)
    yield quality.quality_verdict(ours, theirs, relevant, config)
    yield quality.slices_verdict(ours, theirs, requests, known, config)
    yield calibration_verdict(ours, theirs, relevant, config)
    yield latency_verdict(*measure_latency(candidate, live, requests), sizes, config)


def _said(error: Exception) -> str:
    """An error in one line, with its type if it is not ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, CascadeError) else f"{type(error).__name__}: {text}"
