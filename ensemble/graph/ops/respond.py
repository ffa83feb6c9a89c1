"""The answer in the caller's terms: raw ids, reasons why it is degraded, and the release that gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ....core.errors import ArtifactError
from ....core.kernel import (
    BOOL,
    INT32,
    INT64,
    kernel,
    read,
    write,
)
from ....core.signature import Columns, ColumnSpec, Signature
from ...protocol.arms import ARM
from ...protocol.assignment import STABLE
from .base import Op, Reason

WHY = (Reason.FEATURES_STALE, Reason.UNKNOWN_USER, Reason.FEWER_ITEMS)
COMBINED = np.array(
    [",".join(why for bit, why in enumerate(WHY) if number >> bit & 1) for number in range(1 << len(WHY))], dtype=object
)
"""Every combination of reasons, by the sum of 1, 2 and 4 for those in ``WHY``."""


def _nobody() -> NDArray[np.int64]:
    return np.zeros(len(COMBINED), np.int64)


@dataclass
class Respond(Op):
    """Translate item rows to raw ids, and add reasons and release.

    ranked_rows int64 [B, k], known_user and features_stale bool [B, 1], top_k int32 [B, 1]
    -> item_ids [B, k] (int64 padded with -1, or str padded with ""), reasons, release and arm object [B, 1].

    The arm is always ``stable``: whoever has answers of several arms says of which one each is. ``fewer_items``
    compares with the top_k of the row. ``unknown_user`` is not given if the store could not be read.
    Loads ``item_ids.npy`` [items], which is memory-mapped, so that the instances of a server share it.
    """

    string_ids: bool
    """Whether raw item ids are text."""
    release: str
    """Id of the release that answers."""

    kind: ClassVar[str] = "respond"
    item_ids: NDArray[Any] = field(init=False, repr=False, compare=False)
    counts: NDArray[np.int64] = field(init=False, repr=False, compare=False, default_factory=_nobody)
    """[8] users answered so far, by the index of their reasons in COMBINED."""

    @property
    def degraded_users(self) -> dict[str, float]:
        """Reason -> number of users whose answer had it; one with several counts in each."""
        combined = np.arange(len(self.counts))
        return {str(why): float(self.counts[combined >> bit & 1 == 1].sum()) for bit, why in enumerate(WHY)}

    @property
    def reads(self) -> Signature:
        return {
            "ranked_rows": ColumnSpec("int64", ("k",)),
            "known_user": ColumnSpec("bool"),
            "features_stale": ColumnSpec("bool"),
            "top_k": ColumnSpec("int32"),
        }

    @property
    def writes(self) -> Signature:
        return {
            "item_ids": ColumnSpec("object" if self.string_ids else "int64", ("k",)),
            "reasons": ColumnSpec("object"),
            "release": ColumnSpec("object"),
            ARM: ColumnSpec("object"),
        }

    def load(self, folder: Path) -> None:
        ids = np.asarray(np.load(folder / "item_ids.npy", mmap_mode="r"))
        expected = "strings" if self.string_ids else "int64"
        if not (ids.dtype.kind == "U" if self.string_ids else ids.dtype == np.int64):
            raise ArtifactError(f"item_ids.npy: expected {expected}, holds {ids.dtype}")
        self.item_ids = ids
        for part in (fill_ids, degraded):
            part.compile()

    def __call__(self, columns: Columns) -> Columns:
        ranked, *state = (np.ascontiguousarray(columns[name]) for name in self.reads)
        reasons = np.empty((len(ranked), 1), np.int64)
        degraded(ranked, *state, reasons)
        self.counts += np.bincount(reasons[:, 0], minlength=len(COMBINED))
        return {
            "item_ids": self._ids(ranked),
            "reasons": COMBINED[reasons],
            "release": np.full(reasons.shape, self.release, dtype=object),
            ARM: np.full(reasons.shape, STABLE, dtype=object),
        }

    def _ids(self, ranked: NDArray[np.int64]) -> NDArray[Any]:
        """Raw ids [B, k] of item rows."""
        if self.string_ids:
            texts: NDArray[Any] = self.item_ids[np.maximum(ranked, 0)].astype(object)
            texts[ranked < 0] = ""
            return texts
        numbers = np.empty(ranked.shape, np.int64)
        fill_ids(ranked, self.item_ids, numbers)
        return numbers


@kernel((read(INT64, 2), read(INT64, 1), write(INT64, 2)))
def fill_ids(ranked: NDArray[np.int64], ids: NDArray[np.int64], out: NDArray[np.int64]) -> None:
    """Fill ``out`` [B, k] with the ids of the item rows ``ranked`` [B, k], with -1 for a row of -1."""
    for user in range(ranked.shape[0]):
        for place in range(ranked.shape[1]):
            row = ranked[user, place]
            out[user, place] = ids[row] if row >= 0 else -1


@kernel((read(INT64, 2), read(BOOL, 2), read(BOOL, 2), read(INT32, 2), write(INT64, 2)))
def degraded(
    ranked: NDArray[np.int64],
    known: NDArray[np.bool_],
    stale: NDArray[np.bool_],
    top_k: NDArray[np.int32],
    out: NDArray[np.int64],
) -> None:
    """Fill ``out`` [B, 1] with the index of each user's reasons in COMBINED."""
    for user in range(len(ranked)):
        fewer = (ranked[user] >= 0).sum() < top_k[user, 0]
        unknown = not known[user, 0] and not stale[user, 0]
        out[user, 0] = 1 * stale[user, 0] + 2 * unknown + 4 * fewer
