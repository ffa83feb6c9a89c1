"""``recsys_label_leak_check``: stop before training a model that would look better offline than it can be.

It finds
- a feature that predicts the label or the positives almost perfectly: it is known only after the event
  (`single_feature_auc`);
- a number of users or items that is a statistic of the whole log, the test part included (`future_counts`);
- held-out interactions that are in the training part as well (`overlap`);
- a feature that ``data.positive``, ``data.label`` or the split reads (`raw_features.check_known_before`).

It cannot find a feature with an AUC below ``max_auc``, a leak that needs several features together, leaks of list
features, a statistic of the future that is not a count or rate of this log, or anything in a log without negatives.
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
from .single_feature_auc import FeatureAuc, feature_aucs

log = logging.getLogger(__name__)

RESULT = "recsys_label_leak_check"
SUSPICIOUS = 0.9
"""A feature with a higher AUC is logged as a warning."""
GIVEN_OVERLAP, MADE_OVERLAP = 0.001, 0.1
"""Default of ``max_overlap``, for a split that the source gives and for one that we make."""


def check_leaks(data: Path, features: Sequence[RawFeature], config: DataConfig, has_timestamp: bool) -> dict[str, Any]:
    """Check the data artifact in ``data``.

    Args:
        has_timestamp: whether the log has timestamps; without them the overlap is not checked.

    Returns:
        Metrics for the manifest: the result, 1 if the check passed and None if it is off, and the feature that came
        closest to failing it.

    Raises:
        DataError: one line for each leak: the column, the evidence, what to do.
        ConfigError: if ``ignore`` names a column that is not a feature.
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
        warning = "%s predicts %s with an AUC of %.4f: is it known before the event?"
        log.warning(warning, auc.feature.name, auc.target, auc.value)
    highest = max(aucs, key=lambda auc: auc.value, default=None)
    closest = {"highest_auc": highest.value, "column": highest.feature.name} if highest else {}
    return {RESULT: 1, "leak_check": {**closest, "features": len(aucs), "overlap": shared.share}}


def to_check(features: Sequence[RawFeature], config: LeakCheckConfig) -> list[RawFeature]:
    """The categorical and continuous features of one value, without ids and ``ignore``.

    Ids cannot be left out of a model, and the columns of a cross are checked themselves.

    Raises:
        ConfigError: if ``ignore`` names a column that is not a feature.
    """
    known = [feature.name for feature in features]
    for name in config.ignore:
        if name not in known:
            raise ConfigError(f"data.leak_check.ignore: {name!r} is not a feature{nearest(name, known)}")
    left_out = ("user_id", "item_id", *config.ignore)
    return [f for f in features if f.role in ("categorical", "continuous") and not f.is_list and f.name not in left_out]


def auc_leak(auc: FeatureAuc, most: float) -> str:
    """The message about a feature whose AUC is above ``most``."""
    feature = auc.feature
    key = "schema.dense" if feature.role == "continuous" else "schema.sparse"
    return (
        f"{key}: {TABLES[feature.side]}.{feature.name} by itself predicts {auc.target} with an AUC of {auc.value:.4f} "
        f"on {auc.rows:,} rows of the training part, more than data.leak_check.max_auc ({most}): it seems to be known "
        f"only after the event. Take it out of {key}; or, if it is known before, set "
        f"data.leak_check.ignore: [{feature.name}]"
    )


def overlap_leak(shared: Overlap, config: DataConfig) -> list[str]:
    """The message about parts of the split that share interactions; empty, and a warning is logged, for a few."""
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
    return [f"{found}. Remove the duplicates; or, if they are separate events, raise data.leak_check.max_overlap"]
