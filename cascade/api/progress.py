"""What a run says of its stages, a line when each begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..core.artifact import Artifact
from ..core.text_table import cell_text

if TYPE_CHECKING:
    from ..pipeline.stages import Progress

_HEADLINES = ("retrieval.recall@100", "cascade.ndcg@10", "ranking.auc")
_SHOWN_METRICS = 4


def progress_line(progress: Progress) -> str:
    """``two_tower  34.2 s  recall@100 0.52`` at the end of a stage, or what the stage does when it begins."""
    stage = progress.stage
    if progress.artifact is None:
        return f"{stage.name:<11} ...         {stage.help}" + (f" [{progress.why}]" if progress.why else "")
    took = "up to date" if progress.seconds is None else f"{progress.seconds:8.1f} s"
    return f"{stage.name:<11} {took:<10}  {_key_metrics(progress.artifact)}".rstrip()


def _key_metrics(artifact: Artifact) -> str:
    """The headlines of an evaluation; for other stages the first metrics that are single numbers or words."""
    values = dict(_flat(artifact.metrics))
    names = [name for name in _HEADLINES if name in values] or list(values)[:_SHOWN_METRICS]
    return ", ".join(f"{name} {cell_text(values[name])}" for name in names)


def _flat(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every number and word."""
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float | str):
            yield f"{prefix}{name}", value
