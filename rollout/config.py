"""The config section of releases."""

from __future__ import annotations

from pydantic import Field

from ..core.section import Section


class RolloutConfig(Section):
    """What happens to releases after their export."""

    keep_releases: int = Field(default=5, ge=1)
    """Number of releases that are kept, counted from the newest. The stable, the previous and the published one are
    kept in any case, and so is one that a running server has. Unit: releases. Example: ``10``."""
