"""Make a view of the online store equal to an artifact, except for what was pushed since."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from .online_writer import EPOCH, Marks, OnlineWriter, Row, key_of, message_of
from .pushed import PushedEvent, missing_in

if TYPE_CHECKING:
    from feast import FeatureView

HISTORY = "user_history"
"""The view that events are pushed to."""


@dataclass(frozen=True)
class Publication:
    """One publication of one view.

    A pushed event stays if the artifact does not hold it, in front of the artifact's history. A row that one of Feast's
    own tools pushed stays as it is if its time is after the cut.
    """

    view: FeatureView
    writer: OnlineWriter
    lock: Callable[[], AbstractContextManager[None]]
    """Keeps pushes out."""
    cut: datetime
    """What is later than this is not in the artifact."""
    seen: int
    """The most items of a history."""
    began: datetime

    def write(self, rows: Sequence[Row]) -> int:
        """Write a batch of the artifact's rows; returns how many."""
        with self.lock():
            written = [*rows] if self.view.name != HISTORY else self._with_pushed(rows)
            self.writer.write(written, self.began)
        return len(written)

    def remove_others(self) -> None:
        """Delete the rows that the artifact lacks. What is left of a history are its pushed events."""
        for keys in self.writer.others(self.began):
            with self.lock():
                marks = dict(zip(keys, self.writer.marks(keys), strict=True))
                gone = [key for key in keys if marks[key].publication != self.began]
                if self.view.name == HISTORY:
                    gone = [key for key in gone if not self._stays(marks[key])]
                    kept = {key: self._missing((), marks[key].events) for key in gone}
                    rows = [self._merged(self._empty(key), events) for key, events in kept.items() if events]
                    self.writer.write(rows, self.began)
                    gone = [key for key, events in kept.items() if not events]
                self.writer.delete(gone)
                self.writer.trim([key for key in keys if marks[key].publication == self.began])

    def _with_pushed(self, rows: Sequence[Row]) -> list[Row]:
        """The rows to write, with the pushed events that the artifact does not hold."""
        marks = self.writer.marks([key_of(row.key) for row in rows])
        pairs = ((row, mark) for row, mark in zip(rows, marks, strict=True) if not self._stays(mark))
        return [
            self._merged(row, self._missing(items_of(row.values["history_ids"]), mark.events)) if mark.events else row
            for row, mark in pairs
        ]

    def _stays(self, marks: Marks) -> bool:
        """Whether a row was pushed with one of Feast's own tools after the cut. Nothing is pushed in the future."""
        return marks.publication is None and self.cut < marks.time <= datetime.now(UTC)

    def _missing(self, history: Sequence[int | str], events: Sequence[PushedEvent]) -> list[PushedEvent]:
        kind = str if has_text(self.view, "history_ids") else int
        return missing_in(history, [event for event in events if type(event.item) is kind], microseconds(self.cut))

    def _merged(self, row: Row, events: Sequence[PushedEvent]) -> Row:
        """``row`` with ``events`` in front of its history."""
        if not events:
            return row
        newest = [*reversed(events)]
        front: dict[str, list[Any]] = {"history_ids": [event.item for event in newest]}
        if "history_times" in row.values:
            front["history_times"] = [
                event.time // 1_000_000 if event.second is None else event.second for event in newest
            ]
        values = {
            name: list_value(self.view, name, [*new, *items_of(row.values[name])][: self.seen])
            for name, new in front.items()
        }
        time = max(row.time, EPOCH + timedelta(microseconds=events[-1].time))
        return replace(row, values={**row.values, **values}, time=time, events=events)

    def _empty(self, key: bytes) -> Row:
        values = {feature.name: list_value(self.view, feature.name, []) for feature in self.view.features}
        return Row(message_of(key), values, EPOCH)


def remove_without(writer: OnlineWriter, other: OnlineWriter, lock: Callable[[], AbstractContextManager[None]]) -> None:
    """Delete the rows of a view whose keys have none in the view of ``other``."""
    for keys in writer.others(None):
        with lock():
            marks = zip(keys, other.marks(keys), strict=True)
            writer.delete([key for key, mark in marks if mark.publication is None and mark.time == EPOCH])


def has_text(view: FeatureView, name: str) -> bool:
    """Whether the list ``name`` of the view holds text; integers otherwise."""
    return any(feature.name == name and str(feature.dtype.base_type) == "String" for feature in view.features)


def list_value(view: FeatureView, name: str, items: Sequence[Any]) -> Any:
    """Feast's ``Value`` message of the list ``name``."""
    from feast.protos.feast.types.Value_pb2 import Int64List, StringList, Value

    if has_text(view, name):
        return Value(string_list_val=StringList(val=items))
    return Value(int64_list_val=Int64List(val=items))


def items_of(value: Any) -> list[Any]:
    """The list in Feast's ``Value`` message; empty if it has none."""
    name = value.WhichOneof("val")
    return [] if name is None else list(getattr(value, name).val)


def microseconds(time: datetime) -> int:
    """Microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def lists_of(values: Mapping[str, Any] | None, view: FeatureView) -> dict[str, list[Any]]:
    """Feature -> its list, empty where the store has none."""
    return {f.name: items_of(values[f.name]) if values and f.name in values else [] for f in view.features}
