"""Results of an evaluation as text: metrics, intervals, differences, new items, slices, policy estimates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.text_table import cell_text, table

if TYPE_CHECKING:
    from ...core.artifact import Artifact
    from ...evaluation.config import EvaluationConfig

_METHODS = {
    "retrieval": "retriever, exact search",
    "served_retrieval": "retriever, as served",
    "cascade": "cascade",
}
"""Key of the metrics -> name that is shown."""


def whole_text(artifact: Artifact) -> str:
    """Every figure of a finished evaluation, what is worse than a simpler method, and the path of the report."""
    from ...evaluation.report import BELOW, below_lines

    found = artifact.metrics
    worse = "\n".join([BELOW, *below]) if (below := below_lines(found)) else ""
    parts = [metrics_table(found), evaluation_text(found), worse, f"report: {artifact.path / 'report.html'}"]
    return "\n\n".join(part for part in parts if part)


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """How the cascade compares, a table of methods and metrics, then the ranker, logged impressions, and the funnel.

    An evaluation of an older version lacks some of them.
    """
    from ...evaluation.baselines.tuning import tuning_lines
    from ...evaluation.baselines.validation import TUNED_BY
    from ...evaluation.funnel import source_lines
    from ...evaluation.report import left_out_lines, verdict_lines

    methods = {**metrics["baselines"], **{_METHODS[name]: metrics[name] for name in _METHODS if name in metrics}}
    skipped = {name: values["skipped"] for name, values in methods.items() if "skipped" in values}
    columns = list(dict.fromkeys(key for name, values in methods.items() if name not in skipped for key in values))
    rows = [[name, *map(values.get, columns)] for name, values in methods.items() if name not in skipped]
    parts = [*verdict_lines(metrics), table(["", *columns], rows), *(f"{name}: {why}" for name, why in skipped.items())]
    parts.append("\n".join(tuning_lines(metrics.get("tuning", {}), TUNED_BY)))
    known = {name: value for name, value in metrics["ranking"].items() if value is not None}
    figures = ", ".join(f"{name} {cell_text(value)}" for name, value in known.items())
    parts.append("\n".join([f"ranking: {figures}", *left_out_lines(metrics)]))
    parts += [impression_table(label, found) for label, found in metrics.get("impressions", {}).items()]
    fates = (f"{name} {cell_text(fate['count'])} ({fate['share']:.1%})" for name, fate in metrics["funnel"].items())
    parts.append("relevant items: " + ", ".join(fates))
    parts.append("\n".join(source_lines(metrics.get("sources", {}))))
    parts += [f"notice: {text}" for text in metrics.get("notices", [])]
    return "\n\n".join(parts)


def impression_table(label: str, found: Mapping[str, Any]) -> str:
    """The ranker and the baselines on logged impressions: metrics with intervals, then their differences."""
    from ...evaluation.baselines.tuning import tuning_lines
    from ...evaluation.report import HISTORY, difference_lines

    measured = {name: values for name, values in found["methods"].items() if "skipped" not in values}
    columns = list(dict.fromkeys(key for values in measured.values() for key in values))
    rows = [
        [name, *(_with_interval(values.get(key), found["intervals"][name].get(key)) for key in columns)]
        for name, values in measured.items()
    ]
    skipped = [f"{name}: {values['skipped']}" for name, values in found["methods"].items() if "skipped" in values]
    lines = [*difference_lines(found["differences"]), *skipped, *tuning_lines(found.get("tuning", {}), "AUC")]
    return "\n".join([f"impressions, {label}: {HISTORY[found['history']]}", table(["", *columns], rows), *lines])


def evaluation_text(metrics: Mapping[str, Any]) -> str:
    """Intervals, differences, new items and slices."""
    from ...evaluation.report import difference_lines, how

    intervals = metrics["intervals"]
    parts = [how(intervals), interval_table(intervals), *difference_lines(metrics["differences"])]
    return "\n\n".join([*parts, new_item_text(metrics["new_items"]), slice_table(metrics["slices"])])


def new_item_text(found: Mapping[str, Any]) -> str:
    """How many new items there are, a line for each ranking in which they are measured, and what may help."""
    from ...evaluation.new_items import HEAD, new_item_hint, new_item_line, new_item_rows

    rows = new_item_rows(found)
    return "\n\n".join([new_item_line(found), *([table(HEAD, rows)] if rows else []), *new_item_hint(found)])


def interval_table(intervals: Mapping[str, Any]) -> str:
    """Confidence intervals: one line for each metric, one column for each method and for the ranker."""
    methods = {**intervals["baselines"], **{_METHODS[name]: intervals[name] for name in _METHODS}}
    methods["ranking"] = intervals["ranking"]
    names = list(dict.fromkeys(name for values in methods.values() for name in values))
    return table(
        ["metric", *methods], [[name, *(_span(values.get(name)) for values in methods.values())] for name in names]
    )


def slice_table(slices: Sequence[Mapping[str, Any]]) -> str:
    """One line for each slice."""
    return table([*slices[0]], [[*part.values()] for part in slices])


def estimate_policy(file: Path, clip: float | None, config: EvaluationConfig) -> dict[str, dict[str, float]]:
    """IPS and SNIPS estimates from the policy log in ``file``, see `evaluation.off_policy`.

    Args:
        clip: largest importance weight; None for no limit.
    """
    from dataclasses import asdict

    from ...evaluation.bootstrap import Bootstrap
    from ...evaluation.off_policy import PolicyLog, ips, snips

    log, bootstrap = PolicyLog.read(file), Bootstrap(config.replicates, config.seed)
    return {each.__name__: asdict(each(log, clip, bootstrap)) for each in (ips, snips)}


def policy_table(estimates: Mapping[str, Mapping[str, float]]) -> str:
    """One line for each estimator."""
    head = ["", "reward", "95 % from", "to", "effective rows", "clipped"]
    return table(head, [[name, *values.values()] for name, values in estimates.items()])


def _span(interval: Sequence[float] | None) -> str:
    return "{:.4f} to {:.4f}".format(*interval) if interval else ""


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    text = cell_text(value)
    return f"{text} [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else text
