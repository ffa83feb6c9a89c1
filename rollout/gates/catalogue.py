"""Whether the tables of a release fit together, and how many items came and went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import GatesConfig
from .verdict import GateVerdict, judged

NAME = "catalogue"


def catalogue_verdict(
    item_ids: NDArray[Any],
    live_ids: NDArray[Any] | None,
    sizes: Mapping[str, int],
    config: GatesConfig,
    taken_off: NDArray[Any] | None = None,
    recalled: NDArray[Any] | None = None,
) -> GateVerdict:
    """Figures: ``items``, and against the live release ``new`` and ``gone`` in items, and the share ``gone_share``.

    Items that an operator took off are in ``gone``, and not in ``gone_share``.

    Args:
        item_ids: [n] raw ids of the candidate.
        live_ids: those of the live release; None if there is none.
        taken_off: ids that an operator has named to be taken off.
        recalled: ids that the live release does not have, because an operator has named them.
        sizes: file -> number of items in it.
    """
    ids = {str(each) for each in item_ids.tolist()}
    figures: dict[str, float | None] = {"items": len(item_ids)}
    faults = []
    if len(set(sizes.values())) > 1:
        counts = ", ".join(f"{name} {count:,}" for name, count in sizes.items())
        faults.append(f"the files have different numbers of items: {counts}; one was cut off, or is of another release")
    if len(ids) < len(item_ids):
        faults.append(f"{len(item_ids) - len(ids):,} items have the id of another item")
    if back := sorted(ids & {str(each) for each in (recalled.tolist() if recalled is not None else ())}):
        faults.append(
            f"{len(back):,} items that `cascade index refresh --remove` took off are in it, e.g. {back[0]}; take them "
            "off it as well, or out of the item table"
        )
    if live_ids is not None:
        before = {str(each) for each in live_ids.tolist()}
        named = set() if taken_off is None else {str(each) for each in taken_off.tolist()}
        gone, new, lost = len(before - ids), len(ids - before), len(before - ids - named)
        share = lost / max(len(before), 1)
        figures |= {"new": new, "gone": gone, "gone_share": share}
        if share > config.max_items_gone:
            faults.append(
                f"{lost:,} of {len(before):,} items of the live release are gone ({share:.1%}, expected at most "
                f"{config.max_items_gone:.1%})"
            )
    shown = ", ".join(f"{value:,} {name}" for name, value in figures.items() if name != "gone_share")
    return judged(NAME, faults, shown, figures)


def fit_together(sizes: Mapping[str, int]) -> bool:
    """Whether a release can be asked at all: kernels read item rows without looking at the lengths of tables."""
    return len(set(sizes.values())) == 1 and int(np.min([*sizes.values()])) > 0
