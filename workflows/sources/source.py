"""What a source gives: interactions in chunks, users and items whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Source:
    """Three tables under our own column names, ``user_id`` and ``item_id`` among them.

    ``interactions`` yields them in file order and never holds more than a chunk; ``metrics`` may be filled while it
    is read. ``users`` and ``items`` are None where the source has no such table.
    """

    interactions: Callable[[], Iterator[pa.Table]]
    rows: int
    """Interactions in all, or an estimate (CSV) for the progress bar."""
    users: pa.Table | None = None
    items: pa.Table | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
