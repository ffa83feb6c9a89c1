"""Training rows: interactions that refer to their user and item by row number.

ETL stores the features once per user and item; the functions here look them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ...core.features import GAP, HISTORY, FeatureSchema
from ...workflows.transforms.codes import MISSING_CODE, UNKNOWN_CODE

if TYPE_CHECKING:
    from ...workflows.etl.tensors import Interactions, Tensors
    from ...workflows.history.history import Histories
    from ..config import ValidHistory

Array = NDArray[Any]
WINDOW, PLACE = "batch:window", "batch:place"
"""Columns of a batch of windows, int32 [B]: which of its encoded histories a row reads, and at which position."""


@dataclass(frozen=True)
class Events:
    """n interactions (views, clicks, ...) of users with items, as arrays [n] of row numbers and labels."""

    user_row: NDArray[np.int32]
    """Rows of the user tables."""
    item_row: NDArray[np.int32]
    """Rows of the item tables."""
    label: NDArray[np.float32]
    """0 or 1."""
    moment: Mapping[str, Array | Histories]
    """Features at the time of the event: ``history`` and ``history_gap`` int32 [n, N], gathered on access, and context
    features [n, 1]."""
    labels: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    """The labels named by ``data.labels``, each [n]."""

    @classmethod
    def of(cls, source: Interactions, keep: NDArray[np.bool_] | None = None) -> Events:
        """The interactions of a split; with ``keep`` bool [n], only the marked ones."""
        moment: dict[str, Array | Histories] = {**source.context, HISTORY: source.history}
        if source.history_gap is not None:
            moment[GAP] = source.history_gap
        every = cls(source.user_row, source.item_row, source.label, moment, source.labels)
        return every if keep is None else every.take(np.flatnonzero(keep))

    @classmethod
    def joined(cls, parts: Sequence[Events]) -> Events:
        """The events of all parts of one log, one part after the other."""
        first, moment = parts[0], dict[str, Any]()
        for name, values in first.moment.items():
            every = [part.moment[name] for part in parts]
            moment[name] = np.concatenate(every) if isinstance(values, np.ndarray) else _joined_histories(every)
        rows = {of: np.concatenate([getattr(part, of) for part in parts]) for of in ("user_row", "item_row", "label")}
        labels = {name: np.concatenate([part.labels[name] for part in parts]) for name in first.labels}
        return cls(**rows, moment=moment, labels=labels)

    @classmethod
    def positives(cls, source: Interactions) -> Events:
        """The positive interactions of a split."""
        return cls.of(source, source.positive)

    def __len__(self) -> int:
        return len(self.user_row)

    def take(self, at: NDArray[np.int64]) -> Events:
        """The events at positions ``at``."""
        moment = {name: values.take(at, axis=0) for name, values in self.moment.items()}
        labels = {name: values[at] for name, values in self.labels.items()}
        return Events(self.user_row[at], self.item_row[at], self.label[at], moment, labels)

    def sample(self, most: int, seed: int) -> Events:
        """At most ``most`` events, drawn without replacement with ``seed``; their order is kept."""
        return self if len(self) <= most else self.take(sampled(len(self), most, seed))

    def before_first(self) -> Events:
        """The same events, each with the history that its user had before the first of them."""
        past = cast("Histories", self.moment[HISTORY])
        least = np.full(int(self.user_row.max(initial=-1)) + 1, np.iinfo(np.int64).max)
        np.minimum.at(least, self.user_row, past.end)
        ends = {name: cast("Histories", self.moment[name]) for name in (HISTORY, GAP) if name in self.moment}
        frozen = {name: replace(values, end=least[self.user_row]) for name, values in ends.items()}
        return replace(self, moment={**self.moment, **frozen})

    def queries(self) -> dict[str, Array]:
        """The input of `Lookup.users`: user_row [n] and the features at the time of the event."""
        return {"user_row": self.user_row, **{name: np.asarray(values) for name, values in self.moment.items()}}


def _joined_histories(parts: Sequence[Any]) -> Any:
    """Lazy histories, or their time gaps, one part after the other."""
    return replace(
        parts[0], **{of: np.concatenate([getattr(part, of) for part in parts]) for of in ("user_row", "end")}
    )


def sampled(count: int, most: int, seed: int) -> NDArray[np.int64]:
    """At most ``most`` of the numbers 0 .. count - 1, drawn without replacement with ``seed``, rising."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def valid_positives(tensors: Tensors, history: ValidHistory) -> Events:
    """The positives of the validation part, with the histories that lists are chosen for (``valid_history``)."""
    events = Events.positives(tensors.interactions("valid"))
    return events.before_first() if history == "before_valid" else events


def user_columns(tensors: Tensors, events: Events) -> dict[str, Array]:
    """User and context features [n, L] of events in the exported models' dtypes, int64 or float32."""
    columns = {**{name: table[events.user_row] for name, table in tensors.users.items()}, **events.queries()}
    return {f.name: columns[f.name].astype(f.dtype) for f in tensors.schema.side("user", "context")}


def item_columns(tensors: Tensors, rows: NDArray[np.integer[Any]]) -> dict[str, Array]:
    """Item features [..., L] of item rows [...] in the exported models' dtypes, int64 or float32."""
    return {f.name: np.asarray(tensors.items[f.name])[rows].astype(f.dtype) for f in tensors.schema.side("item")}


def unknown_user(schema: FeatureSchema, tables: Mapping[str, Array]) -> dict[str, Array]:
    """The features [L] of a user that the feature store does not know, ``history`` included.

    The id is out of vocabulary, other categories are missing, lists are empty. Numbers get the median, with which ETL
    fills missing ones.
    """
    row: dict[str, Array] = {}
    for feature in schema.side("user"):
        if feature.kind == "continuous":
            row[feature.name] = np.median(tables[feature.name], axis=0).astype(np.float32)
        else:
            code = UNKNOWN_CODE if feature.name == "user_id" else MISSING_CODE
            row[feature.name] = np.full(feature.dims, 0 if feature.length else code, np.int32)
    return row
