"""Text of an evaluation beside its table of metrics: intervals, differences, new items, slices; estimates of another
policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.text_table import table
from .text import metrics_table

if TYPE_CHECKING:
    from ..core.artifact import Artifact
    from ..evaluation.config import EvaluationConfig


def whole_text(artifact: Artifact) -> str:
    """Every figure of a finished evaluation, and where its report is."""
    found = artifact.metrics
    return f"{metrics_table(found)}\n\n{evaluation_text(found)}\n\nreport: {artifact.path / 'report.html'}"


def evaluation_text(metrics: Mapping[str, Any]) -> str:
    """All of these, below each other."""
    from ..evaluation.report import difference_lines, how

    intervals = metrics["intervals"]
    parts = [how(intervals), interval_table(intervals), *difference_lines(metrics["differences"])]
    return "\n\n".join([*parts, new_item_text(metrics["new_items"]), slice_table(metrics["slices"])])


def new_item_text(found: Mapping[str, Any]) -> str:
    """How many new items there are, and below it a line for each ranking that they are measured in."""
    from ..evaluation.new_items import HEAD, new_item_line, new_item_rows

    rows = new_item_rows(found)
    return "\n\n".join([new_item_line(found), *([table(HEAD, rows)] if rows else [])])


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


def estimate_policy(file: Path, clip: float | None, config: EvaluationConfig) -> dict[str, dict[str, float]]:
    """IPS and SNIPS from the policy log in ``file``; see `ensemble.evaluation.off_policy`."""
    from dataclasses import asdict

    from ..evaluation.bootstrap import Bootstrap
    from ..evaluation.off_policy import PolicyLog, ips, snips

    log, bootstrap = PolicyLog.read(file), Bootstrap(config.replicates, config.seed)
    return {each.__name__: asdict(each(log, clip, bootstrap)) for each in (ips, snips)}


def policy_table(estimates: Mapping[str, Mapping[str, float]]) -> str:
    """A line for each estimator."""
    head = ["", "reward", "95 % from", "to", "effective rows", "clipped"]
    return table(head, [[name, *values.values()] for name, values in estimates.items()])


def _span(interval: Sequence[float] | None) -> str:
    return "{:.4f} to {:.4f}".format(*interval) if interval else ""
