"""Rules that span several sections of the config.

In: a `PipelineConfig` whose values are valid one by one. Out: a line for each pair of keys that do not fit together.
One file for each concern; start with `conflicts`.
"""

from __future__ import annotations

from ...models.config import conflicts as two_tower_conflicts
from ..pipeline import PipelineConfig
from .data import data_conflicts
from .features import feature_conflicts
from .ranker import ranker_conflicts
from .serving import serving_conflicts
from .tune import tune_conflicts
from .widths import width_conflicts


def conflicts(config: PipelineConfig) -> list[str]:
    """One line for each conflict. It names the keys, their values and what would fit."""
    return [
        *width_conflicts(config),
        *two_tower_conflicts(config.two_tower),
        *ranker_conflicts(config),
        *feature_conflicts(config),
        *data_conflicts(config),
        *serving_conflicts(config),
        *tune_conflicts(config),
    ]
