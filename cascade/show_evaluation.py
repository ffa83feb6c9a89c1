"""Text of an evaluation beside its table of metrics: intervals, differences, slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .show import table


def evaluation_text(metrics: Mapping[str, Any]) -> str:
    """All three, below each other."""
    from .ensemble.evaluation.report import difference_lines, how

    intervals = metrics["intervals"]
    parts = [how(intervals), interval_table(intervals), *difference_lines(metrics["differences"])]
    return "\n\n".join([*parts, slice_table(metrics["slices"])])


def interval_table(intervals: Mapping[str, Any]) -> str:
    """A line for each metric, a column for each method and the ranker."""
    methods = {**intervals["baselines"], "retriever": intervals["retrieval"], "cascade": intervals["cascade"]}
    methods["ranking"] = intervals["ranking"]
    names = list(dict.fromkeys(name for values in methods.values() for name in values))
    return table(
        ["metric", *methods], [[name, *(_span(values.get(name)) for values in methods.values())] for name in names]
    )


def slice_table(slices: Sequence[Mapping[str, Any]]) -> str:
    """A line for each slice."""
    return table([*slices[0]], [[*part.values()] for part in slices])


def _span(interval: Sequence[float] | None) -> str:
    return "{:.4f} to {:.4f}".format(*interval) if interval else ""
