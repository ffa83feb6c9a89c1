"""The row of a user after a push."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import FeatureStoreError
from ..tables.timestamps import in_seconds
from .online_writer import Marks, Row
from .publication import list_value, lists_of, microseconds
from .pushed import PushedEvent, pushed_onto

if TYPE_CHECKING:
    from collections.abc import Mapping

    from feast import FeatureView


def pushed_row(
    view: FeatureView,
    key: Any,
    marks: Marks,
    values: Mapping[str, Any] | None,
    items: Sequence[int | str],
    seconds: Sequence[int] | None,
) -> Row:
    """The row with new events in front.

    Args:
        key: Feast's ``EntityKey`` message.
        marks: of the stored row.
        values: of the stored row; None for a new user.
        items: of the events, the oldest first.
        seconds: their ``history_times``; None for a view without.
    """
    now, seen = datetime.now(UTC), int(view.tags["seen"])
    lists = lists_of(values, view)
    clock = view.tags.get("clock") == str(True) and seconds is not None
    times = [second * 1_000_000 for second in seconds or ()] if clock else [microseconds(now)] * len(items)
    events = pushed_onto(lists["history_ids"], items, times, seconds or [None] * len(items))
    fresh = {"history_ids": items, **({} if seconds is None else {"history_times": seconds})}
    lists |= {name: ([*reversed(new)] + lists[name])[:seen] for name, new in fresh.items()}
    written = {name: list_value(view, name, list_) for name, list_ in lists.items()}
    return Row(key, written, now, [*_earlier(view, marks, values), *events][-seen:])


def _earlier(view: FeatureView, marks: Marks, values: Mapping[str, Any] | None) -> Sequence[PushedEvent]:
    """The pushed events in the stored row. If one of Feast's own tools wrote it, any of its items may be one."""
    time = microseconds(marks.time)
    if marks.publication is not None or values is None or any(event.time >= time for event in marks.events):
        return marks.events
    lists = lists_of(values, view)
    items = lists["history_ids"][::-1]
    seconds = lists.get("history_times", [])[::-1]
    return pushed_onto([], items, [time] * len(items), seconds if len(seconds) == len(items) else [None] * len(items))


def seconds_of(view: FeatureView, count: int, times: Sequence[int] | None) -> list[int] | None:
    """``history_times`` of ``count`` new events, the oldest first; None for a view without times.

    Raises:
        FeatureStoreError: if times are missing, or not wanted, or not as many as events.
    """
    if "clock" not in view.tags:
        if times is not None:
            raise FeatureStoreError(
                "push: this pipeline stores no times of a history; leave them out, or set history.gaps"
            )
        return None
    if times is None:
        if view.tags["clock"] != str(True):
            raise FeatureStoreError(
                "push: history.gaps needs the time of each event, and this log's timestamps do not come from a clock"
            )
        times = [int(datetime.now(UTC).timestamp())] * count
    if len(times) != count:
        raise FeatureStoreError(f"push: {count} items and {len(times)} times, expected a time for each item")
    seconds: list[int] = in_seconds(np.array(times, np.int64)).tolist()
    return seconds


def typed_ids(view: FeatureView, user_id: int | str, item_ids: Sequence[int | str]) -> list[Any]:
    """The user id and the item ids in the types of the view's columns; the command line passes strings.

    Raises:
        FeatureStoreError: if an id is no integer of 64 bits where ids are integers, or is blank or has a NUL.
    """
    user_type, item_type = view.entity_columns[0].dtype, view.features[0].dtype.base_type
    items = [_typed(item, "item", str(item_type) == "Int64") for item in item_ids]
    return [_typed(user_id, "user", str(user_type) == "Int64"), *items]


def _typed(value: int | str, side: str, whole: bool) -> int | str:
    text = str(value)
    if whole:
        if re.fullmatch("-?[0-9]{1,19}", text) and abs(int(text)) < 1 << 63:
            return int(text)
        raise FeatureStoreError(f"push: {side} ids are integers in this pipeline, of 64 bits, got {text[:80]!r}")
    if not text.strip() or "\0" in text:
        raise FeatureStoreError(f"push: expected {side} ids that are not blank and have no NUL, got {text[:80]!r}")
    return text
