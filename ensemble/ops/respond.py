"""The answer in the caller's terms: raw ids, why it was degraded, and which release gave it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ArtifactError
from ...core.signature import Columns, ColumnSpec, Signature
from .base import Op, Reason


@dataclass
class Respond(Op):
    """ranked_rows int64 [B, k], known_user and features_stale bool [B, 1], top_k int32 [B, 1]
    -> item_ids [B, k] (int64 padded with -1, or str padded with ""), reasons and release object [B, 1].

    Loads ``item_ids.npy`` [items]. ``fewer_items``: fewer than the row's own top_k. ``unknown_user`` is
    not said where the store could not be read.
    """

    string_ids: bool
    release: str
    """Id of the release that answers."""

    kind: ClassVar[str] = "respond"
    item_ids: NDArray[Any] = field(init=False, repr=False, compare=False)

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
        }

    def load(self, folder: Path) -> None:
        ids = np.load(folder / "item_ids.npy")
        if (ids.dtype.kind == "U") != self.string_ids:
            expected = "strings" if self.string_ids else "int64"
            raise ArtifactError(f"item_ids.npy: expected {expected}, holds {ids.dtype}")
        # One more entry, so that row -1 finds the padding.
        self.item_ids = np.append(ids.astype(object), "") if self.string_ids else np.append(ids.astype(np.int64), -1)

    def __call__(self, columns: Columns) -> Columns:
        ranked, stale = columns["ranked_rows"], columns["features_stale"][:, 0]
        why = {
            Reason.FEATURES_STALE: stale,
            Reason.UNKNOWN_USER: ~columns["known_user"][:, 0] & ~stale,
            Reason.FEWER_ITEMS: (ranked >= 0).sum(axis=1) < columns["top_k"][:, 0],
        }
        reasons = np.empty((len(ranked), 1), dtype=object)
        for row in range(len(ranked)):
            reasons[row, 0] = ",".join(reason.value for reason, holds in why.items() if holds[row])
        return {
            "item_ids": self.item_ids[ranked],
            "reasons": reasons,
            "release": np.full((len(ranked), 1), self.release, dtype=object),
        }
