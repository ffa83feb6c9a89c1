"""The config section of the evaluation."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from ..core.section import Section

BaselineName = Literal["popularity", "ials", "ease", "markov", "lightgbm", "factorization_machine"]
BASELINES: tuple[BaselineName, ...] = get_args(BaselineName)
IMPRESSION_BASELINES: tuple[BaselineName, ...] = ("lightgbm", "factorization_machine")
"""Those that predict logged impressions; the others rank the catalogue."""


class EvaluationConfig(Section):
    """Offline evaluation."""

    batch_size: int = Field(default=256, ge=1)
    max_users: int | None = None
    """Evaluate a seeded sample of the test users; all of them by default."""
    replicates: int = Field(default=1000, ge=100)
    """Draws of users that the 95 % intervals come from."""
    baselines: list[BaselineName] | None = None
    """What to compare with: popularity, ials, ease and markov rank the catalogue; lightgbm and factorization_machine
    predict logged impressions, where the ranker learns from them; named without that, the report says so. All that
    apply by default; each takes its time."""
    history: Literal["at_event", "before_test"] = "at_event"
    """What logged impressions are scored with. at_event: what the user had before that impression, as a store has it
    that positives are pushed to. before_test: what the user had when the test part began, as if nothing were pushed."""
    slices: list[str] = []
    """Columns of users, items or interactions; the cascade is measured for each of their values, beside new users, new
    items, and the head and tail of the catalogue."""
    seed: int = 0
