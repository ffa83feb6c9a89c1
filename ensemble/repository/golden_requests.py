"""The requests whose answers a release records: users of the log, users whom nobody knows, and variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...workflows.transforms.codes import raw_array
from ..protocol.inputs import MISSING, Input

AS_LOGGED, UNKNOWN, OTHER, NONE, EXCLUDED = (
    "as logged",
    "unknown user",
    "other context",
    "no context",
    "excluded items",
)
"""What is special about a request."""
SETTINGS = ("user_id", "exclude_items", "top_k", "temperature", "seed")
FEW = 5
_HEAD = 100_000


@dataclass(frozen=True)
class GoldenRequests:
    """R requests at temperature 0; ``excluded items`` are still to be filled in."""

    columns: Mapping[str, NDArray[Any]]
    """Inputs, [R, ...] each."""
    kinds: NDArray[np.str_]
    """[R], what is special about each."""


def draw_requests(data: Path, user_ids: NDArray[Any], inputs: Sequence[Input], count: int) -> GoldenRequests:
    """``count`` requests, the same ones each time.

    Users are those with a positive in the test part, or those at the beginning of the log if there are none. A request
    has the context of the user's first such event.

    Args:
        data: folder of the data artifact.
        user_ids: raw ids of all users.
        inputs: of the graph.
    """
    specs = {spec.name: spec for spec in inputs}
    contexts = [name for name in specs if name not in SETTINGS]
    logged = _logged(data, ["user_id", *contexts], count)
    users = logged["user_id"].astype(specs["user_id"].dtype)
    kinds = [AS_LOGGED, UNKNOWN, EXCLUDED, *([OTHER, NONE] if contexts else [])]
    kind, round_ = np.array(kinds)[np.arange(count) % len(kinds)], np.arange(count) // len(kinds)
    users[kind == UNKNOWN, 0] = _unknown(user_ids, int((kind == UNKNOWN).sum()))
    columns: dict[str, NDArray[Any]] = {"user_id": users}
    for name in contexts:
        column = logged[name].astype(specs[name].dtype)
        column[kind == OTHER] = np.roll(column, 1, axis=0)[kind == OTHER]
        column[kind == NONE] = MISSING[specs[name].dtype]
        columns[name] = column
    most, usual = int(specs["top_k"].maximum or FEW), int(specs["top_k"].default or FEW)
    lengths = np.array([usual, 1, min(FEW, most), most])[round_ % 4]
    settings: dict[str, NDArray[Any]] = {"top_k": lengths, "temperature": np.zeros(count), "seed": np.zeros(count)}
    columns |= {name: value.astype(specs[name].dtype)[:, None] for name, value in settings.items()}
    return GoldenRequests(columns, kind)


def _logged(data: Path, names: Sequence[str], count: int) -> dict[str, NDArray[Any]]:
    """[count, 1] each: the first event of users who are drawn; users come again if there are fewer."""
    import pyarrow.dataset as ds

    log = ds.dataset(data / "interactions")
    table = log.to_table([*names], filter=(ds.field("split") == "test") & ds.field("positive").cast("bool"))
    if not len(table):
        table = log.head(_HEAD, columns=[*names])
    first = np.unique(raw_array(table["user_id"]), return_index=True)[1]
    drawn = np.sort(np.random.default_rng(0).choice(first, min(count, len(first)), replace=False))
    part = table.take(drawn[np.arange(count) % len(drawn)])
    return {name: raw_array(part[name])[:, None].copy() for name in names}


def _unknown(user_ids: NDArray[Any], count: int) -> NDArray[Any]:
    """[count] raw ids that no user has."""
    numbers = np.arange(1, len(user_ids) + count + 1)
    if user_ids.dtype.kind in "iu":
        return np.setdiff1d(numbers, user_ids)[:count]
    return np.setdiff1d(np.char.add("nobody-", numbers.astype(str)), user_ids)[:count].astype(object)
