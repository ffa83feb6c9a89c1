"""Text that the verbs print: plans, progress, configuration, answers, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.text_table import cell_text, table

if TYPE_CHECKING:
    from ..core.artifact import Artifact
    from ..ensemble.client import Recommendation
    from ..pipeline.stages import PlanRow, Progress

_METHODS = {"retrieval": "retriever", "cascade": "cascade"}
_SHOWN_METRICS = 4
_HEADLINES = ("retrieval.recall@100", "cascade.ndcg@10", "ranking.auc")


def plan_table(rows: Sequence[PlanRow]) -> str:
    """A line for each stage: would it run, and why."""
    lines = [(row.stage, "up to date" if row.up_to_date else "would run", row.why) for row in rows]
    return table(("stage", "", "why"), lines)


def progress_line(progress: Progress) -> str:
    """``two_tower  34.2 s  recall@100 0.52``, or what is about to happen."""
    stage = progress.stage
    if progress.artifact is None:
        return f"{stage.name:<11} ...         {stage.help}"
    took = "up to date" if progress.seconds is None else f"{progress.seconds:8.1f} s"
    return f"{stage.name:<11} {took:<10}  {_key_metrics(progress.artifact)}".rstrip()


def config_text(tree: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """The merged config as YAML, each value with a comment that says where it came from."""
    lines = list(_config_lines(tree, origins))
    width = min(60, max(len(text) for text, _ in lines))
    return "\n".join(f"{text:<{width}}  # {origin}" if origin else text for text, origin in lines)


def answer_table(answer: Recommendation, titles: Mapping[Any, str] | None = None) -> str:
    """Rank, item, title if there are titles, score, propensity."""
    head = ["rank", "item", *(["title"] if titles else []), "score", "propensity"]
    rows = [
        [rank, str(item.item_id), *([titles.get(item.item_id, "")] if titles else []), item.score, item.propensity]
        for rank, item in enumerate(answer.items, start=1)
    ]
    return table(head, rows)


def answer_notes(answer: Recommendation) -> str:
    """Release, reasons and the time of each stage."""
    reasons = ", ".join(answer.reasons) or "none"
    times = ", ".join(f"{name} {ms:.2f}" for name, ms in answer.stages_ms.items())
    return f"reasons: {reasons}; release: {answer.release}\nstages, ms: {times}"


def metrics_table(metrics: Mapping[str, Any]) -> str:
    """Methods below each other in the metrics that they share, then the ranker's own and where items were lost."""
    methods = {**metrics["baselines"], **{_METHODS[name]: metrics[name] for name in _METHODS}}
    skipped = {name: values["skipped"] for name, values in methods.items() if "skipped" in values}
    columns = list(dict.fromkeys(key for name, values in methods.items() if name not in skipped for key in values))
    rows = [[name, *map(values.get, columns)] for name, values in methods.items() if name not in skipped]
    parts = [table(["", *columns], rows), *(f"{name}: {why}" for name, why in skipped.items())]
    parts.append("ranking: " + ", ".join(f"{name} {cell_text(value)}" for name, value in metrics["ranking"].items()))
    parts += [impression_table(label, found) for label, found in metrics.get("impressions", {}).items()]
    fates = (f"{name} {cell_text(fate['count'])} ({fate['share']:.1%})" for name, fate in metrics["funnel"].items())
    parts.append("relevant items: " + ", ".join(fates))
    return "\n\n".join(parts)


def impression_table(label: str, found: Mapping[str, Any]) -> str:
    """The ranker and the baselines on logged impressions, with their intervals, and how far they are apart."""
    from ..evaluation.report import difference_lines

    measured = {name: values for name, values in found["methods"].items() if "skipped" not in values}
    columns = list(dict.fromkeys(key for values in measured.values() for key in values))
    rows = [
        [name, *(_with_interval(values.get(key), found["intervals"][name].get(key)) for key in columns)]
        for name, values in measured.items()
    ]
    skipped = [f"{name}: {values['skipped']}" for name, values in found["methods"].items() if "skipped" in values]
    lines = [*difference_lines(found["differences"]), *skipped]
    return "\n".join([table([f"impressions, {label}", *columns], rows), *lines])


def _with_interval(value: float | None, interval: Sequence[float] | None) -> str:
    text = cell_text(value)
    return f"{text} [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else text


def _key_metrics(artifact: Artifact) -> str:
    """The headlines of an evaluation; else the first few metrics that are a single number or word."""
    values = dict(_flat(artifact.metrics))
    names = [name for name in _HEADLINES if name in values] or list(values)[:_SHOWN_METRICS]
    return ", ".join(f"{name} {cell_text(values[name])}" for name in names)


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float | str):
            yield f"{prefix}{name}", value


def _config_lines(tree: Mapping[str, Any], origins: Mapping[str, str], path: str = "") -> Iterator[tuple[str, str]]:
    """(line of YAML, origin); a section's own line has no origin."""
    indent = "  " * path.count(".")
    for name, value in tree.items():
        key = f"{path}{name}"
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_yaml(name)}:", ""
            yield from _config_lines(value, origins, f"{key}.")
        else:
            yield f"{indent}{_yaml(name)}: {_yaml(value)}", origins[key]


def _yaml(value: Any) -> str:
    """One value on one line."""
    import yaml

    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
