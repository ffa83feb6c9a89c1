"""The golden answers of a release: what it answered when it was exported, to be compared with what it answers later.

Each request is kept with the features that it saw of its user, so that it can be asked again whatever a feature store
holds by then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.errors import ArtifactError
from ...core.files import read_json
from ...core.signature import Columns
from ..graph.executor import Executor
from ..graph.graph_file import damage_named
from ..graph.ops import LookupUser
from ..graph.recorded_users import RecordedUsers, lookup_of, with_users
from ..protocol.config_file import CONFIG
from ..protocol.inputs import MISSING
from ..protocol.recommendation import Recommendation, recommendations
from ..protocol.release_names import GRAPH
from .digests import write_digests
from .golden_requests import EXCLUDED, GoldenRequests, draw_requests
from .user_lookup import reading_artifact

GOLDEN = "golden.npz"
"""File in the folder of a version."""
ANSWERS = ("item_ids", "scores", "propensities", "reasons")
_EXCLUDED_ITEMS = 3
_NONE = "?"
"""Ends the name of a mask of missing texts."""


@dataclass(frozen=True)
class Golden:
    """R requests and their answers."""

    requests: GoldenRequests
    users: Columns
    """What the step that looks users up wrote, [R, ...] each."""
    answers: Columns
    """The outputs `ANSWERS`, [R, ...] each."""

    @classmethod
    def record(cls, executor: Executor, requests: GoldenRequests) -> Golden:
        """Ask ``executor``, whose users are read from where they shall be taken."""
        columns, lookup = dict(requests.columns), lookup_of(executor)
        users = lookup({"user_id": columns["user_id"]})
        first = _asked(executor, columns, users)
        items, shown = (first[name][:, :_EXCLUDED_ITEMS].copy() for name in ("item_ids", "propensities"))
        items[(shown == 0) | (requests.kinds != EXCLUDED)[:, None]] = MISSING[items.dtype.name]
        columns["exclude_items"] = items
        full = replace(requests, columns=columns)
        return cls(full, users, _asked(executor, columns, users))

    def ask(self, executor: Executor) -> list[Recommendation]:
        """What a graph answers now, for users as they were recorded; the graph's own step for users is not run."""
        return self._as_recommendations(_asked(executor, self.requests.columns, self.users))

    @property
    def recorded(self) -> list[Recommendation]:
        """The answers that were recorded."""
        return self._as_recommendations(self.answers)

    def save(self, file: Path) -> None:
        parts = {"request": self.requests.columns, "user": self.users, "answer": self.answers}
        arrays = {"kinds": self.requests.kinds}
        for part, columns in parts.items():
            for name, array in columns.items():
                arrays |= _packed(f"{part}/{name}", array)
        np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, version: Path) -> Golden | None:
        """Those of the release in a version folder; None if it has none.

        Raises:
            ArtifactError: the file is damaged.
        """
        file = version / GOLDEN
        if not file.is_file():
            return None
        try:
            with np.load(file, allow_pickle=False) as arrays:
                held = dict(arrays)
            request, user, answer = (_unpacked(held, f"{part}/") for part in ("request", "user", "answer"))
            return cls(GoldenRequests(request, held["kinds"]), user, answer)
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{file}: damaged ({error!r}); export the release again") from error

    def _as_recommendations(self, answers: Columns) -> list[Recommendation]:
        users = self.requests.columns["user_id"][:, 0].tolist()
        named = {**answers, "release": np.full((len(users), 1), "", object)}
        return recommendations(users, named, {})


def record_golden(version: Path, parts: Mapping[str, Artifact], count: int) -> None:
    """Have the release in a version folder record the answers to ``count`` requests, and write its digests again.

    Args:
        parts: its artifacts; features are read from there, as they were before the test part.

    Raises:
        CascadeError: the release cannot be loaded, or cannot answer.
    """
    with damage_named(version):
        node = next(entry for entry in read_json(version / GRAPH)["nodes"] if entry["op"] == LookupUser.kind)
    users = reading_artifact(LookupUser(**node["params"]), parts["features"].path)
    executor = Executor.load(version, replace={LookupUser.kind: users})
    user_ids = np.load(parts["etl"].path / "user_ids.npy", mmap_mode="r")
    requests = draw_requests(parts["data"].path, user_ids, executor.inputs, count)
    Golden.record(executor, requests).save(version / GOLDEN)
    write_digests(version, (version.parent / CONFIG).read_text())


def record_again(before: Path, version: Path) -> None:
    """Have the release in ``version`` record its answers to the requests of another one, and write its digests again.

    Args:
        before: folder of the version with the requests; nothing happens if it has none.

    Raises:
        CascadeError: the release cannot be loaded, or cannot answer.
    """
    golden = Golden.load(before)
    if golden is None:
        return
    with damage_named(version):
        node = next(entry for entry in read_json(version / GRAPH)["nodes"] if entry["op"] == LookupUser.kind)
    users = RecordedUsers(LookupUser(**node["params"]), golden.requests.columns["user_id"], golden.users)
    executor = Executor.load(version, replace={LookupUser.kind: users})
    answers = _asked(executor, golden.requests.columns, golden.users)
    replace(golden, answers=answers).save(version / GOLDEN)
    write_digests(version, (version.parent / CONFIG).read_text())


def _asked(executor: Executor, columns: Columns, users: Columns) -> dict[str, NDArray[Any]]:
    """The outputs `ANSWERS` for all requests, in passes of at most ``executor.max_users``."""
    graph = with_users(executor, RecordedUsers(lookup_of(executor), columns["user_id"], users))
    count, parts = len(columns["user_id"]), []
    for start in range(0, count, graph.max_users):
        part = {name: column[start : start + graph.max_users] for name, column in columns.items()}
        parts.append(graph.run(part)[0])
    return {name: _below([part[name] for part in parts]) for name in ANSWERS}


def _below(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Outputs [B, k] below each other, padded as the graph pads them."""
    width = max(part.shape[1] for part in parts)
    padding = {"O": "", "i": -1}.get(parts[0].dtype.kind, 0)
    joined = np.full((sum(map(len, parts)), width), padding, parts[0].dtype)
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return joined


def _packed(name: str, array: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """An array without Python objects: texts, and a mask of those that are missing."""
    if array.dtype != object:
        return {name: array}
    missing = np.array([value is None for value in array.ravel().tolist()], bool).reshape(array.shape)
    return {name: np.where(missing, "", array).astype(str), f"{name}{_NONE}": missing}


def _unpacked(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The columns whose names begin with ``prefix``, as they were packed."""
    found = {}
    for name in arrays:
        if name.startswith(prefix) and not name.endswith(_NONE):
            array = arrays[name]
            if array.dtype.kind == "U":
                array = array.astype(object)
                array[arrays[f"{name}{_NONE}"]] = None
            found[name.removeprefix(prefix)] = array
    return found
