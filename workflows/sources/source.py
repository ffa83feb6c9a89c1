"""The contract of a source: interactions in chunks, users and items as whole tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from ..config import DataConfig


class OpenSource(Protocol):
    """A registered source: opens tables that lie somewhere else.

    It may have an attribute ``fingerprint``, a function of the same config that returns a text which changes exactly
    when the tables do, e.g. the number of a snapshot. Without it, `cascade run` takes the tables to be those that it
    has read before, until the config changes or ``--force`` is given.
    """

    def __call__(self, config: DataConfig, /) -> Source:
        """Open the tables; interactions are read when `Source.interactions` is called.

        Args:
            config: the section ``data``. Keys of the source's own are in ``config.options``; ``config.path`` is
                absolute.

        Raises:
            ConfigError: naming the key, e.g. ``data.options.table``, that does not say what to read.
            DataError: what it names cannot be read.
        """
        ...


@dataclass(frozen=True)
class Source:
    """The three tables of a source, with our column names; ``user_id`` and ``item_id`` are required."""

    interactions: Callable[[], Iterator[pa.Table]]
    """Yields the interactions in file order, a chunk at a time."""
    rows: int
    """The number of interactions; an estimate will do, for the progress bar."""
    users: pa.Table | None = None
    """None if the source has no such table."""
    items: pa.Table | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    """Metrics for the manifest; they may be filled while ``interactions`` is read."""
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Table -> the names of its columns, those included that were not read; for messages. May be left out."""
    parts: Mapping[str, Sequence[tuple[int, str]]] = field(default_factory=dict)
    """Table -> its part files, if it has several: the number of the table's rows before each, and its name; for
    messages. May be left out."""
    lines: Mapping[str, Sequence[bool]] = field(default_factory=dict)
    """Table -> for each of its files, whether it is a header and a line for each row; for messages. May be left out."""
