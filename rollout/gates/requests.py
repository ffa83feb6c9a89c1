"""Requests of held-out users, with the items that each of them took afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.signature import Signature
from ...evaluation.config import EvaluationConfig
from ...evaluation.held_out import LoggedTest
from ...evaluation.slices import Slice, all_slices
from ...workflows.etl.tensors import Tensors


@dataclass(frozen=True)
class HeldOutRequests:
    """U requests and the P pairs of a request and an item that its user took."""

    columns: Mapping[str, NDArray[Any]]
    """Inputs [U, 1]: user_id and raw context columns."""
    owners: NDArray[np.int64]
    """[P], the request of each pair."""
    items: NDArray[Any]
    """[P], the raw id of its item."""
    slices: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Name -> bool [P]: the pairs of a slice of users, of items or of interactions."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def without(self, items: NDArray[Any]) -> HeldOutRequests:
        """The same requests, without the pairs of some raw ids."""
        kept = ~np.isin(self.items, items)
        slices = {name: mask[kept] for name, mask in self.slices.items()}
        return replace(self, owners=self.owners[kept], items=self.items[kept], slices=slices)


def held_out_requests(
    data: Path, etl: Path, inputs: Signature, config: EvaluationConfig, most: int, seed: int
) -> HeldOutRequests:
    """One request for each user with a positive in the test part, as the evaluation asks.

    Args:
        data, etl: artifacts of the candidate.
        inputs: of both releases.
        config: names the columns to slice by.
        most: of more users, this many are drawn.

    Raises:
        DataError: no user has a positive.
    """
    tensors = Tensors.load(etl)
    logged = LoggedTest.read(data, tensors.user_ids, tensors.item_ids)
    held_out = logged.users_held_out(inputs, most, seed)
    owners, items = (each.astype(np.int64) for each in held_out.relevant.nonzero())
    slices = all_slices(config.slices, data, logged, tensors)
    rows = {"users": held_out.rows[owners], "items": items, "interactions": held_out.events[owners]}
    return HeldOutRequests(held_out.columns, owners, tensors.item_ids[items], _pairs_of(slices, rows))


def _pairs_of(slices: Sequence[Slice], rows: Mapping[str, NDArray[np.int64]]) -> dict[str, NDArray[np.bool_]]:
    return {part.name: part.mask[rows[part.of]] for part in slices}
