"""The config section of the evaluation."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ..core.extensible import NameOf
from ..core.registry import BUILT_IN
from ..core.section import ExtensibleSection

BASELINES: tuple[str, ...] = BUILT_IN["baseline"]
IMPRESSION_BASELINES: tuple[str, ...] = ("lightgbm", "factorization_machine")
"""Those that predict logged impressions; the others rank the catalogue."""


class EvaluationConfig(ExtensibleSection):
    """Offline evaluation."""

    for_extensions: ClassVar[tuple[str, ...]] = ("metrics",)

    batch_size: int = Field(default=256, ge=1)
    """Number of users that the served graph answers at once during the evaluation. It changes the speed only. Unit:
    users. Example: ``64``."""
    max_users: int | None = Field(default=50_000, ge=1)
    """Evaluate on a random sample of this many test users, if there are more. null: all of them. Unit: users. Example:
    ``2000``."""
    replicates: int = Field(default=1000, ge=100)
    """Number of bootstrap samples of the users behind each 95 % interval. Example: ``200``."""
    baselines: list[Annotated[str, NameOf("baseline")]] | None = None
    """Methods to compare with. popularity, ials, item_knn, ease, recency_ease and markov rank the catalogue. lightgbm
    and factorization_machine predict logged impressions, so they apply only where the ranker learns from impressions;
    otherwise the report has a notice instead. Registered baselines rank the catalogue. Default: all built-in ones that
    apply. Example: ``[popularity, ease]``."""
    tuning_seconds: float = Field(default=20, ge=0)
    """How long the settings of each baseline are searched on the validation part. What was chosen is kept in the runs
    folder and used again as long as the data, the baseline and this time stay the same. 0 takes defaults. Unit:
    seconds. Example: ``120``."""
    metrics: list[Annotated[str, NameOf("metric")]] = []
    """Registered metrics of ranked lists to compute in addition to the built-in ones, at the same length. Example:
    ``[hit_rate]``."""
    history: Literal["at_event", "before_test"] = "at_event"
    """Which history logged impressions are scored with. at_event: what the user had just before the impression, as in a
    store that receives pushes. before_test: what the user had when the test part began, as in a store without
    pushes."""
    slices: list[str] = []
    """Columns of users, items or interactions. Metrics are also reported for each of their values, in addition to new
    users, new items, and the head and tail of the catalogue. Example: ``[gender]``."""
    seed: int = 0
    """Seed of the sample of users and of the bootstrap. Example: ``7``."""
