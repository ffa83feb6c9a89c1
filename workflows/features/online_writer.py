"""Write Feast's online store: the rows of one view, each with the publication that wrote it and the pushed events.

Feast's own tools read the store as ever: the marks are in columns, fields and a table of which they know nothing.
A row that Feast's tools wrote has no mark.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from .pushed import PushedEvent

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 10_000
"""Keys that are looked at, or deleted, at once."""


@dataclass(frozen=True)
class Row:
    """A row to write."""

    key: Any
    """Feast's ``EntityKey`` message."""
    values: Mapping[str, Any]
    """Feature -> Feast's ``Value`` message."""
    time: datetime
    events: Sequence[PushedEvent] = ()
    """The pushed events in it, oldest first."""


@dataclass(frozen=True)
class Marks:
    """What the store says about the row of a key."""

    time: datetime
    """Event time of the row; the epoch if there is none."""
    publication: datetime | None
    """The publication that wrote the row, or the first push of a new user; None for one of Feast's own tools."""
    events: Sequence[PushedEvent]


class OnlineWriter(Protocol):
    """The rows of one view. A batch is written at once, so that no reader sees half of a row.

    Features that are kept for a release that reads them, and that the view no longer has, stay as they are while their
    key has a row.
    """

    def begin(self) -> datetime:
        """The time of a new publication, which no stored row has."""
        ...

    def marks(self, keys: Sequence[bytes]) -> list[Marks]:
        """The marks of serialized entity keys."""
        ...

    def write(self, rows: Sequence[Row], publication: datetime) -> None:
        """Write rows in place of what is stored for their keys."""
        ...

    def delete(self, keys: Sequence[bytes]) -> None:
        """Delete the rows of these keys, with their pushed events."""
        ...

    def trim(self, keys: Sequence[bytes]) -> None:
        """Delete features that the view no longer has, but those that are kept."""
        ...

    def others(self, publication: datetime | None) -> Iterator[list[bytes]]:
        """Batches of the keys that have a row which another publication wrote; of all keys for None."""
        ...


def key_of(message: Any) -> bytes:
    """A Feast ``EntityKey`` message as the store has it."""
    from feast.infra.key_encoding_utils import serialize_entity_key

    return bytes(serialize_entity_key(message, 3))


def message_of(key: bytes) -> Any:
    """The inverse of `key_of`."""
    from feast.infra.key_encoding_utils import deserialize_entity_key

    return deserialize_entity_key(key, 3)
