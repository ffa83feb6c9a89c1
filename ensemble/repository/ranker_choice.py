"""Which of the ranker stage's models a release serves: split or whole, fp32 or int8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.artifact import Artifact
from ...models.ranker.model_files import INT8, PAIR, WHOLE
from ..config import RankerServingConfig

EXACT = 1e-5
"""Largest difference between the logits of the split and the whole ranker, relative to max(1, |logit|)."""
AUC_LOSS, OVERLAP = 0.001, 0.98
"""int8 is served if it loses less AUC than this, and keeps a larger share of the top 50 than this."""


@dataclass(frozen=True)
class RankerChoice:
    """The model to serve, and how it differs from what is configured."""

    model: str
    """Name of its file in the ranker artifact."""
    part_widths: Mapping[str, int] | None = None
    """Table of the item part -> its width; None for the whole ranker."""
    notices: tuple[str, ...] = ()
    """What runs otherwise than configured, and why."""


def choose_ranker(parts: Mapping[str, Artifact], config: RankerServingConfig) -> RankerChoice:
    """The split ranker, unless the split is off, inexact or too large; int8 if configured and nearly without loss.

    Where the retriever orders the list there is nothing to split.

    Args:
        parts: the artifacts etl and ranker.
    """
    metrics = parts["ranker"].metrics
    if metrics.get("order") == "retriever":
        return RankerChoice(WHOLE)
    why_whole = _why_whole(metrics.get("split"), parts, config)
    why_fp32 = _why_fp32(metrics.get("int8"), config, split=why_whole is None)
    notices = (
        *([f"serving.ranker.split: {why_whole}; the whole ranker runs"] if why_whole else []),
        *([f"serving.ranker.precision: {why_fp32}; fp32 runs"] if why_fp32 else []),
    )
    if why_whole is not None:
        return RankerChoice(WHOLE, None, notices)
    model = INT8 if config.precision == "int8" and not why_fp32 else PAIR
    return RankerChoice(model, metrics["split"]["widths"], notices)


def _why_whole(
    split: Mapping[str, Any] | None, parts: Mapping[str, Artifact], config: RankerServingConfig
) -> str | None:
    """Why the whole ranker is served: "" if that is configured, None if it is not."""
    if config.split == "off":
        return ""
    if split is None:
        return "the ranker stage wrote no item part"
    if not split["max_difference"] <= EXACT:
        return f"the split logits differ by {split['max_difference']:.2g}, more than {EXACT:g}"
    items = len(np.load(parts["etl"].path / "item_ids.npy", mmap_mode="r"))
    size = -(-items * sum(split["widths"].values()) * 4 // 2**20)
    if size > config.item_part_mb:
        return f"the items' parts take {size} MiB, more than item_part_mb {config.item_part_mb}"
    return None


def _why_fp32(int8: Mapping[str, float] | None, config: RankerServingConfig, *, split: bool) -> str | None:
    """Why int8 is not served although it is configured; None otherwise."""
    if config.precision != "int8":
        return None
    if not split:
        return "int8 is for the split ranker"
    if int8 is None:
        return "int8 was not judged for want of a validation part"
    loss, overlap = int8["auc_loss"], int8["top50_overlap"]
    if loss < AUC_LOSS and overlap > OVERLAP:
        return None
    return (
        f"int8 loses {loss:.4f} AUC (less than {AUC_LOSS} wanted) and keeps {overlap:.4f} of the top 50 (more than "
        f"{OVERLAP} wanted)"
    )
