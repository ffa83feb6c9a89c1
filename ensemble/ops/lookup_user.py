"""What the feature store knows of a user: profile columns and history."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ConfigError, FeatureStoreError
from ...core.signature import Columns, ColumnSpec, Signature
from ...workflows.feature_online import OnlineReader, Stored, Wanted, open_reader, value_message
from .base import Op

REPO_VARIABLE = "CASCADE_FEATURE_REPO"
REDIS_VARIABLE = "CASCADE_FEATURE_STORE__REDIS"

DTYPES = {"int": "int64", "float": "float64", "string": "object"}
MISSING: Mapping[str, Any] = {"int": np.iinfo(np.int64).min, "float": np.nan, "string": None}
FIELDS = {"int": "int64", "float": "double", "string": "string"}
"""Column kind -> the field of Feast's ``Value`` without ``_val`` or ``_list_val``."""

log = logging.getLogger(__name__)


@dataclass
class LookupUser(Op):
    """user_id [B, 1] -> the raw user ``columns`` [B, 1] (lists [B, L]), history_ids [B, seen] and rejected_ids [B, X]
    (raw item ids, most recent first; X is the longest in the batch, at least 1), known_user bool [B, 1],
    features_stale bool [B, 1].

    What is missing and what pads a list: None for strings, the smallest int64 for ints, NaN for floats.
    ``known_user``: a view of the store holds the user. ``features_stale``: the store could not be read, so
    everything is missing and ``known_user`` says nothing.

    Reads Feast's online store in the folder that CASCADE_FEATURE_REPO names, else ``feature_repo`` in the current
    one; one query for the whole batch.
    """

    project: str
    columns: dict[str, str]
    """Raw user column -> int, float, string, list_int, list_float or list_string."""
    user_kind: str
    item_kind: str
    seen: int
    views: dict[str, list[str]]
    """Feature view -> its features among ``columns``, ``history_ids`` and ``rejected_ids``; a user is known if one of
    the views holds it."""
    online: str = "sqlite"
    redis: str = ""
    """Feast's connection string without its password; CASCADE_FEATURE_STORE__REDIS goes first."""
    timeout: float = 0.5
    """Seconds to wait for the store."""

    kind: ClassVar[str] = "lookup_user"
    reader: OnlineReader = field(init=False, repr=False, compare=False)
    value: Any = field(init=False, repr=False, compare=False)
    reachable: bool = field(init=False, repr=False, compare=False, default=True)

    @property
    def reads(self) -> Signature:
        return {"user_id": ColumnSpec(DTYPES[self.user_kind])}

    @property
    def writes(self) -> Signature:
        flags = {"known_user": ColumnSpec("bool"), "features_stale": ColumnSpec("bool")}
        dtype = DTYPES[self.item_kind]
        items = {"history_ids": ColumnSpec(dtype, (self.seen,)), "rejected_ids": ColumnSpec(dtype, ("X",))}
        return {**{name: _spec(name, kind) for name, kind in self.columns.items()}, **items, **flags}

    def load(self, folder: Path) -> None:
        self.value = value_message()
        repo = Path(os.environ.get(REPO_VARIABLE, "feature_repo"))
        redis = os.environ.get(REDIS_VARIABLE, self.redis)
        self.reader = open_reader(Wanted(self.project, "user_id", self.views), repo, self.online, redis, self.timeout)

    def __call__(self, columns: Columns) -> Columns:
        users = columns["user_id"][:, 0].tolist()
        stored = self._read(users)
        rows = [(stored or {}).get(user, {}) for user in users]
        found = {name: self._column(rows, name, kind) for name, kind in self.columns.items()}
        return {
            **found,
            "history_ids": self._lists(rows, "history_ids", self.item_kind, self.seen),
            "rejected_ids": self._lists(rows, "rejected_ids", self.item_kind, None),
            "known_user": np.array([bool(row) for row in rows], dtype=bool).reshape(-1, 1),
            "features_stale": np.full((len(users), 1), stored is None),
        }

    def _read(self, users: list[Any]) -> dict[Any, Stored] | None:
        """What the store holds, by user; None if it cannot be read, which is logged once until it can."""
        try:
            stored = self.reader.read([user for user in users if user is not None])
        except FeatureStoreError as error:
            if self.reachable:
                log.warning("answering without user features: %s", error)
            self.reachable = False
            return None
        self.reachable = True
        return stored

    def _column(self, rows: list[Stored], name: str, kind: str) -> NDArray[Any]:
        if kind.startswith("list_"):
            return self._lists(rows, name, kind.removeprefix("list_"), None)
        column = np.full((len(rows), 1), MISSING[kind], dtype=DTYPES[kind])
        for index, row in enumerate(rows):
            value = self._value(row, name, f"{FIELDS[kind]}_val")
            if value is not None:
                column[index, 0] = value
        return column

    def _lists(self, rows: list[Stored], name: str, kind: str, width: int | None) -> NDArray[Any]:
        """[B, width], cut or padded; without ``width`` as wide as the longest list, at least 1."""
        values = [self._value(row, name, f"{FIELDS[kind]}_list_val") for row in rows]
        lists = [[] if value is None else value.val[:width] for value in values]
        column = np.full((len(rows), width or max([1, *map(len, lists)])), MISSING[kind], dtype=DTYPES[kind])
        for index, ids in enumerate(lists):
            column[index, : len(ids)] = ids
        return column

    def _value(self, row: Stored, name: str, field: str) -> Any:
        """The stored value, or None if there is none or it is of another type than this release expects."""
        if name not in row:
            return None
        value = self.value.FromString(row[name])
        return getattr(value, field) if value.HasField(field) else None


def export_lookup(features: Path, feature_store: Any, columns: list[str] | None = None) -> LookupUser:
    """The op for the features artifact in folder ``features``; it has no files of its own.

    Args:
        feature_store: the config section of that name.
        columns: the raw user columns that the transforms read; all by default.

    Raises:
        ConfigError: if the artifact lacks one of ``columns``.
    """
    from ...workflows.feature_stage import FeatureSpec

    spec = FeatureSpec.load(features)
    profile = spec.view("user_profile")
    have = dict(profile.columns) if profile else {}
    lacking = [name for name in columns or [] if name not in have]
    if lacking:
        raise ConfigError(f"user_profile: lacks {', '.join(lacking)}; it has {', '.join(have) or 'no columns'}")
    wanted = {name: have[name] for name in (have if columns is None else columns)}
    views = {"user_profile": list(wanted)} if profile else {}
    public = ",".join(p for p in feature_store.redis.split(",") if not p.startswith("password="))
    return LookupUser(
        project=feature_store.project,
        columns=wanted,
        user_kind=spec.keys["user_id"],
        item_kind=spec.keys["item_id"],
        seen=spec.seen,
        views={**views, "user_history": ["history_ids", "rejected_ids"]},
        online=feature_store.online,
        redis=public if feature_store.online == "redis" else "",
    )


def _spec(name: str, kind: str) -> ColumnSpec:
    width = f"{name}_length" if kind.startswith("list_") else 1
    return ColumnSpec(DTYPES[kind.removeprefix("list_")], (width,))
