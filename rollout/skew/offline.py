"""What the data of a release says of users at the time of their requests, computed as the pipeline computes it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.files import read_json
from ...ensemble.protocol.skew_rows import SkewRow, digest
from ...workflows.features.spec import FeatureSpec
from ...workflows.features.tables import write_history
from ...workflows.tables.timestamps import is_clock, time_range

Values = dict[str, list[Any]]
"""Column -> its values, without padding."""


@dataclass(frozen=True)
class OfflineUsers:
    """The users of the artifacts data and features."""

    data: Path
    features: Path
    user_ids: NDArray[Any]
    """[n_users] raw ids, by the users' rows."""
    cut: float
    """When the log ends, seconds since 1970: what happened later is not known here."""

    @classmethod
    def of(cls, data: Artifact, etl: Artifact, features: Artifact) -> OfflineUsers:
        cut = datetime.fromisoformat(str(features.metrics["cut"])).timestamp()
        return cls(data.path, features.path, np.load(etl.path / "user_ids.npy"), cut)

    def rows(self, key: bytes, hashes: Collection[str]) -> dict[str, int]:
        """Hash -> row of the users whose hashes are asked for; those whom the data does not have are left out."""
        wanted, found = set(hashes), dict[str, int]()
        for row, user in enumerate(self.user_ids.tolist()):
            if (own := digest(key, user)) in wanted:
                found[own] = row
        return found

    def raw(self, rows: Sequence[SkewRow], users: Sequence[int]) -> list[Values]:
        """The raw columns of each request's user, with the history strictly before the request.

        Args:
            users: row of the user of each request.
        """
        ids = self.user_ids[list(users)].tolist()
        profiles, histories = self._profiles(ids), self._histories(ids, [row.at for row in rows])
        return [{**profiles[user], **history} for user, history in zip(ids, histories, strict=True)]

    @cached_property
    def _spec(self) -> FeatureSpec:
        return FeatureSpec.load(self.features)

    def _profiles(self, ids: Sequence[Any]) -> dict[Any, Values]:
        """Raw id -> columns of the profile."""
        import pyarrow.dataset as ds

        view = self._spec.view("user_profile")
        if view is None:
            return {user: {} for user in ids}
        table = ds.dataset(self.features / view.file).to_table(
            [view.key, *view.columns], filter=ds.field(view.key).isin([*dict.fromkeys(ids)])
        )
        missing: Values = {name: [] for name in view.columns}
        found = {row.pop(view.key): {name: _listed(value) for name, value in row.items()} for row in table.to_pylist()}
        return {user: found.get(user, missing) for user in ids}

    def _histories(self, ids: Sequence[Any], times: Sequence[float]) -> list[Values]:
        """The histories of users at these times, seconds since 1970; no columns if the log has no clock.

        Each request is written as a user of its own, so that `write_history` decides on order, length and repeats.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.dataset as ds
        import pyarrow.parquet as pq

        tables, spec = read_json(self.data / "tables.json"), self._spec
        parts, unit = sorted((self.data / "interactions").glob("*.parquet")), tables["time_unit"]
        if not is_clock(time_range(parts)[1] * unit // 1_000_000):
            return [{} for _ in ids]
        columns = ["user_id", "item_id", "timestamp", "positive", "split"]
        wanted = ds.field("user_id").isin([*dict.fromkeys(ids)])
        log = ds.dataset(parts).to_table(columns, filter=wanted)
        places, seconds = _places(log["user_id"].to_pylist()), log["timestamp"].to_numpy() * (unit / 1e6)
        every = [places.get(user, np.zeros(0, np.int64)) for user in ids]
        taken = [at[seconds[at] < time] for at, time in zip(every, times, strict=True)]
        number = np.repeat(np.arange(len(ids)), [len(at) for at in taken])
        names = ["history_ids", "rejected_ids", *(["history_times"] if spec.times else [])]
        found: list[Values] = [{name: [] for name in names} for _ in ids]
        if not len(number):
            return found
        part = log.take(np.concatenate(taken)).set_column(0, "user_id", pa.array(number))
        part = part.set_column(columns.index("split"), "split", pc.cast(part["split"], pa.string()))
        kinds = {"user_id": "int", "item_id": spec.keys["item_id"]}
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder, "log.parquet"), Path(folder, "history.parquet")
            pq.write_table(part, source)
            write_history([source], out, kinds, spec.seen, unit, not tables["has_label"], times=spec.times)
            for row in pq.read_table(out, columns=["user_id", *names]).to_pylist():
                found[row["user_id"]] = {name: _listed(row[name]) for name in names}
        return found


def _places(users: Sequence[Any]) -> dict[Any, NDArray[np.int64]]:
    """User -> the places of its rows."""
    places = dict[Any, list[int]]()
    for at, user in enumerate(users):
        places.setdefault(user, []).append(at)
    return {user: np.array(at, np.int64) for user, at in places.items()}


def _listed(value: Any) -> list[Any]:
    """A value of a Parquet file as `plain` gives it."""
    values = value if isinstance(value, list) else [value]
    values = [None if each is None or each != each else each for each in values]
    while values and values[-1] is None:
        values.pop()
    return values
