"""Events that were pushed to the online store. It keeps them beside a user's row, so that a publication can tell them
from what came out of an artifact."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass


@dataclass(frozen=True)
class PushedEvent:
    """A positive that was pushed."""

    item: int | str
    time: int
    """Microseconds since 1970: when it happened if the push said so on the log's clock, else when it was pushed."""
    before: int
    """How often the user's history held the item before the push."""
    second: int | None = None
    """Its entry in ``history_times``; None for a history without times."""


def to_json(events: Sequence[PushedEvent]) -> str:
    """What the store keeps."""
    return json.dumps([astuple(event) for event in events])


def from_json(text: str | bytes | None) -> list[PushedEvent]:
    """The inverse of `to_json`; None if nothing is kept."""
    return [PushedEvent(*values) for values in json.loads(text)] if text else []


def pushed_onto(
    history: Sequence[int | str], items: Sequence[int | str], times: Sequence[int], seconds: Sequence[int | None]
) -> list[PushedEvent]:
    """The events of ``items``, oldest first, each with its time, on top of a history."""
    counts = Counter(history)
    events = []
    for item, time, second in zip(items, times, seconds, strict=True):
        events.append(PushedEvent(item, time, counts[item], second))
        counts[item] += 1
    return events


def missing_in(history: Sequence[int | str], events: Sequence[PushedEvent], cut: int) -> list[PushedEvent]:
    """The events that an artifact does not hold: those after its ``cut`` (microseconds since 1970).

    An event may be pushed a little later than the log says that it happened. So an event is also left out if the
    artifact's history holds the item more often than the history did before the push.
    """
    counts = Counter(history)
    return [event for event in events if event.time > cut and counts[event.item] <= event.before]
