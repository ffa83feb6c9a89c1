"""Fit one NVTabular workflow for each side on the training part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...core.features import Feature, Side
from ..config import EtlConfig, TextConfig
from ..tables.raw_features import RawFeature
from .graph import (
    LONGEST_LIST,
    build_graph,
    cardinalities,
    model_features,
)
from .outliers import outlier_notices
from .text import content_lengths
from .train_part import (
    Partition,
    TrainPart,
    frame_of,
    lengths_of,
)
from .vocabularies import with_buckets

SIDES: tuple[Side, ...] = ("user", "context", "item")


@dataclass(frozen=True)
class FittedSide:
    """A fitted workflow and the features that it computes."""

    workflow: Any
    raw: tuple[RawFeature, ...]
    features: tuple[Feature, ...]
    """As models see them, in the order of ``raw``."""
    folder: Path
    """Where the workflow is saved, with its vocabularies in a subfolder."""
    device: str
    """cpu or gpu."""
    notices: Sequence[str] = ()
    """What a run says of its values."""


def fit_sides(
    raw: Sequence[RawFeature], train: TrainPart, folder: Path, device: str, config: EtlConfig
) -> dict[Side, FittedSide]:
    """Fit the workflow of each side that has features and save it below ``folder``."""
    fitted = {}
    for side in SIDES:
        own = tuple(f for f in raw if f.side == side)
        if own:
            parts = train.partitions(side, config.min_frequency, config.max_size.get(f"{side}_id"))
            own = with_buckets(own, parts, config)
            options = config.min_frequency, config.text, config.max_size
            fitted[side] = fit_side(own, parts, folder / side, device, *options)
    return fitted


def fit_side(
    raw: tuple[RawFeature, ...],
    parts: Sequence[Partition],
    folder: Path,
    device: str,
    min_frequency: int,
    text: TextConfig,
    max_size: Mapping[str, int] = MappingProxyType({}),
) -> FittedSide:
    """Fit the workflow of one side on ``parts`` and save it in ``folder``.

    Each part is a Dask partition whatever the memory limit is, so that the limit does not change the result.
    """
    import dask.dataframe as dd
    from merlin.io import Dataset
    from nvtabular import Workflow

    lengths = lengths_of(parts, raw, LONGEST_LIST) | content_lengths(raw, text)
    folder.mkdir(parents=True)
    workflow = Workflow(build_graph(raw, lengths, folder, min_frequency, text, max_size))
    meta = frame_of(parts[0], raw, device).iloc[:0]
    frames = dd.from_map(frame_of, parts, features=raw, device=device, meta=meta)
    workflow.fit(Dataset(frames, cpu=device == "cpu"))
    workflow.save(folder)
    features = tuple(model_features(raw, lengths, cardinalities(workflow)))
    stds = {f.name: statistics(workflow, f.name)["std"] for f in features if f.kind == "continuous"}
    return FittedSide(workflow, raw, features, folder, device, outlier_notices(parts, raw, stds))


def statistics(workflow: Any, name: str) -> dict[str, float]:
    """The median (``fill``), mean and standard deviation of a continuous column, from the fitted workflow."""
    from merlin.dag import Graph
    from nvtabular.ops import FillMedian, Normalize

    node = [workflow.output_node]
    fill = next(n.op for n in Graph.get_nodes_by_op_type(node, FillMedian) if name in n.op.medians)
    scale = next(n.op for n in Graph.get_nodes_by_op_type(node, Normalize) if name in n.op.means)
    return {"fill": fill.medians[name], "mean": scale.means[name], "std": scale.stds[name]}
