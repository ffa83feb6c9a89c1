"""``recsys_label_leak_check``: stop before a model is trained that looks better offline than it can be.

- a feature alone tells label or positives almost perfectly: it is known only after the event (`leak_auc`);
- a number of users or items that counts the whole log, the test part included (`leak_future`);
- held-out interactions that are trained on as well (`leak_overlap`);
- a feature that ``data.positive`` or the split is made of (`features.check_known_before`).

What it cannot see: a leak that leaves a feature's AUC below ``max_auc``; one that only several features show together;
list features; a statistic of the future that is no count or rate of this log; anything where there are no negatives.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError, DataError
from ..config import DataConfig, LeakCheckConfig
from ..tables.raw_features import TABLES, RawFeature
from ..tables.validate import nearest
from .future_counts import future_statistics
from .overlap import Overlap, overlap
from .single_feature_auc import Auc, feature_aucs

log = logging.getLogger(__name__)

RESULT = "recsys_label_leak_check"
SUSPICIOUS = 0.9
"""AUC of a feature from which on the log says so."""
GIVEN_OVERLAP, MADE_OVERLAP = 0.001, 0.1
"""``max_overlap`` by default, of a split that the source gives and of one that we make."""


def check_leaks(data: Path, features: Sequence[RawFeature], config: DataConfig, has_timestamp: bool) -> dict[str, Any]:
    """Check the data artifact in ``data``.

    Returns:
        what the manifest says: 1 for a check that was passed, and what came closest to fail it; None where it is off.

    Raises:
        DataError: one line for each leak: the column, how it is known, what to do.
        ConfigError: if a column that is to be ignored is no feature.
    """
    if not config.leak_check.enabled:
        return {RESULT: None}
    checked = to_check(features, config.leak_check)
    aucs = feature_aucs(data, checked)
    shared = overlap(data) if has_timestamp else Overlap()
    leaks = [auc_leak(auc, config.leak_check.max_auc) for auc in aucs if auc.value > config.leak_check.max_auc]
    leaks += [*future_statistics(data, checked), *overlap_leak(shared, config)]
    if leaks:
        raise DataError("\n".join(leaks))
    for auc in (auc for auc in aucs if auc.value > SUSPICIOUS):
        log.warning("%s tells %s with an AUC of %.4f: is it known before?", auc.feature.name, auc.target, auc.value)
    highest = max(aucs, key=lambda auc: auc.value, default=None)
    closest = {"highest_auc": highest.value, "column": highest.feature.name} if highest else {}
    return {RESULT: 1, "leak_check": {**closest, "features": len(aucs), "overlap": shared.share}}


def to_check(features: Sequence[RawFeature], config: LeakCheckConfig) -> list[RawFeature]:
    """Features of one value that is no text; not the ids, which cannot be left out, nor crosses, which are of parts."""
    known = [feature.name for feature in features]
    for name in config.ignore:
        if name not in known:
            raise ConfigError(f"data.leak_check.ignore: {name!r} is no feature{nearest(name, known)}")
    left_out = ("user_id", "item_id", *config.ignore)
    return [f for f in features if f.role in ("categorical", "continuous") and not f.is_list and f.name not in left_out]


def auc_leak(auc: Auc, most: float) -> str:
    """What is wrong with a feature that tells too much."""
    feature = auc.feature
    key = "schema.dense" if feature.role == "continuous" else "schema.sparse"
    return (
        f"{key}: {TABLES[feature.side]}.{feature.name} alone tells {auc.target} with an AUC of {auc.value:.4f} on "
        f"{auc.rows:,} rows of the training part, more than data.leak_check.max_auc ({most}): it looks like something "
        f"that is known only after the event. Take it out of {key}; or, if it is known before, set "
        f"data.leak_check.ignore: [{feature.name}]"
    )


def overlap_leak(shared: Overlap, config: DataConfig) -> list[str]:
    """What is wrong with a split whose parts share interactions; a few are only logged."""
    given = config.split.by == "column"
    most = config.leak_check.max_overlap
    most = most if most is not None else GIVEN_OVERLAP if given else MADE_OVERLAP
    if not shared.rows:
        return []
    found = (
        f"interactions: {shared.rows:,} ({shared.share:.2%}) of the held-out ones are in another part of the split as "
        f"well, same user_id, item_id and timestamp, e.g. {shared.example}"
    )
    if shared.share <= most:
        log.warning("%s", found)
        return []
    return [f"{found}. Remove the duplicates; or, if they are events of their own, raise data.leak_check.max_overlap"]
