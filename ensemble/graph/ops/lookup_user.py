"""Profile columns and history of a user, from the feature store."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.errors import FeatureStoreError
from ....core.signature import Columns, ColumnSpec, Signature
from ....workflows.features.circuit_breaker import CircuitBreaker
from ....workflows.features.online import (
    REDIS_VARIABLE,
    FeatureQuery,
    OnlineReader,
    OnlineRows,
    open_reader,
)
from ....workflows.features.values import (
    Serialized,
    ValueDecoder,
    int_lists,
)
from ....workflows.transforms.codes import DTYPES
from .base import Op

REPO_VARIABLE = "CASCADE_FEATURE_REPO"

log = logging.getLogger(__name__)


@dataclass
class LookupUser(Op):
    """Read users from Feast's online store, with one query for the whole batch.

    user_id [B, 1] -> the raw user ``columns`` [B, 1] (lists [B, L]), history_ids [B, S] and rejected_ids [B, X] (raw
    item ids, most recent first), known_user and features_stale bool [B, 1]; with ``times`` also history_times [B, T].

    L, S and X are the longest list in the batch and at least 1; S and X are at most ``seen``. Missing values and
    the padding of lists are None for strings, the smallest int64 for ints, NaN for floats. ``known_user`` says whether
    a view of the store has the user. ``features_stale`` says that the store could not be read, or holds a damaged
    value of this user; then all values are missing and ``known_user`` is False. A store that does not answer is not
    asked again until it does, so that only the first pass waits for it.

    The store is in the Feast repository that the environment variable CASCADE_FEATURE_REPO names, by default in the
    folder ``feature_repo``.
    """

    project: str
    columns: dict[str, str]
    """Raw user column -> int, float, string, list_int, list_float or list_string."""
    user_kind: str
    """Of user ids: int or string."""
    item_kind: str
    """Of item ids: int or string."""
    seen: int
    """Largest number of ids in a history, and of rejected ones. The store may hold more for another release."""
    views: dict[str, list[str]]
    """Feature view -> its features among ``columns``, ``history_ids`` and ``rejected_ids``. A user is known if one of
    the views has it."""
    online: str = "sqlite"
    redis: str = ""
    """Feast's connection string without its password; CASCADE_FEATURE_STORE__REDIS takes precedence."""
    timeout: float = 0.5
    """Seconds to wait for the store."""
    retry: float = 1.0
    """Seconds between two trials of a store that did not answer. Until it does, no pass asks it."""
    times: int = 0
    """Number T of history_times int64 [B, T] to read, the seconds of the first history_ids; 0 for none."""

    kind: ClassVar[str] = "lookup_user"
    reader: OnlineReader = field(init=False, repr=False, compare=False)
    decoder: ValueDecoder = field(init=False, repr=False, compare=False)
    reachable: bool = field(init=False, repr=False, compare=False, default=True)

    @property
    def reads(self) -> Signature:
        return {"user_id": ColumnSpec(DTYPES[self.user_kind])}

    @property
    def writes(self) -> Signature:
        flags = {"known_user": ColumnSpec("bool"), "features_stale": ColumnSpec("bool")}
        dtype = DTYPES[self.item_kind]
        items = {"history_ids": ColumnSpec(dtype, ("S",)), "rejected_ids": ColumnSpec(dtype, ("X",))}
        times = {"history_times": ColumnSpec("int64", ("T",))} if self.times else {}
        return {**{name: _spec(name, kind) for name, kind in self.columns.items()}, **items, **times, **flags}

    @property
    def query(self) -> FeatureQuery:
        """What is read of each user."""
        return FeatureQuery(self.project, "user_id", self.views)

    def load(self, folder: Path) -> None:
        repo = Path(os.environ.get(REPO_VARIABLE, "feature_repo"))
        redis = os.environ.get(REDIS_VARIABLE, self.redis)
        reader = open_reader(self.query, repo, self.online, redis, self.timeout)
        self.read_from(CircuitBreaker(reader, self.retry))

    def read_from(self, reader: OnlineReader) -> None:
        """Read users with ``reader``."""
        self.decoder = ValueDecoder()
        int_lists.compile()
        self.reader = reader

    def __call__(self, columns: Columns) -> Columns:
        users = columns["user_id"][:, 0].tolist()
        stored = self._read(users)
        if stored is None:
            nobody = OnlineRows([False] * len(users), {})
            return self._columns(nobody, [True] * len(users))
        try:
            return self._columns(stored, [False] * len(users))
        except FeatureStoreError:  # of one user, most likely: the others have theirs
            damaged = [self._is_damaged(stored, at) for at in range(len(users))]
            return self._columns(_without(stored, damaged), damaged)

    def _columns(self, stored: OnlineRows, stale: list[bool]) -> Columns:
        """What is written for the rows of the store; raises FeatureStoreError if a value is damaged."""
        nothing: list[bytes | None] = [None] * len(stale)
        values = stored.values
        found = {name: self._column(values.get(name, nothing), kind) for name, kind in self.columns.items()}
        if self.times:
            found["history_times"] = self.decoder.lists(values.get("history_times", nothing), "int", self.times)
        return {
            **found,
            "history_ids": self.decoder.lists(values.get("history_ids", nothing), self.item_kind, self.seen),
            "rejected_ids": self.decoder.lists(values.get("rejected_ids", nothing), self.item_kind, self.seen),
            "known_user": np.array(stored.known, dtype=bool).reshape(-1, 1),
            "features_stale": np.array(stale, dtype=bool).reshape(-1, 1),
        }

    def _is_damaged(self, stored: OnlineRows, at: int) -> bool:
        """Whether a value of the user at this place cannot be decoded. Logs it."""
        try:
            self._columns(OnlineRows([True], {name: [column[at]] for name, column in stored.values.items()}), [False])
        except FeatureStoreError as error:
            log.warning("answering a user without features: the store has %s", error)
            return True
        return False

    def _read(self, users: list[Any]) -> OnlineRows | None:
        """The stored values of each user; None if the store cannot be read. Logs the first of several failures, and
        the first answer after them."""
        try:
            stored = self.reader.read(users)
        except FeatureStoreError as error:
            if self.reachable:
                log.warning("answering without user features: %s", error)
            self.reachable = False
            return None
        if not self.reachable:
            log.info("the feature store answers again")
        self.reachable = True
        return stored

    def _column(self, values: Serialized, kind: str) -> NDArray[Any]:
        if kind.startswith("list_"):
            return self.decoder.lists(values, kind.removeprefix("list_"))
        return self.decoder.scalars(values, kind)


def _without(stored: OnlineRows, damaged: list[bool]) -> OnlineRows:
    """The rows of the store, with nothing for the damaged ones."""
    values = {
        name: [None if bad else value for value, bad in zip(column, damaged, strict=True)]
        for name, column in stored.values.items()
    }
    return OnlineRows([known and not bad for known, bad in zip(stored.known, damaged, strict=True)], values)


def _spec(name: str, kind: str) -> ColumnSpec:
    width = f"{name}_length" if kind.startswith("list_") else 1
    return ColumnSpec(DTYPES[kind.removeprefix("list_")], (width,))
