"""What was counted in training and names items by row: transitions and item-item weights, for another catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...ensemble.graph.ops import LookupItems, MergeNeighbours
from ...models.retriever.item_to_item.neighbour_weights import NeighbourWeights
from ...workflows.history.transitions import Transitions
from ...workflows.transforms.codes import mapped
from .changes import as_arrow, places
from .kept_release import KeptRelease

if TYPE_CHECKING:
    import pyarrow as pa

IDS = "item_ids.npy"
Counts = TypeVar("Counts", Transitions, NeighbourWeights)


def trained_files(release: KeptRelease) -> dict[str, Path]:
    """The counts of a release as they were before the first refresh: name -> file, and `IDS` of that time."""
    names = [file.name for kind in (Transitions, NeighbourWeights) for file in kind.files(Path()).values()]
    steps = {kind: release.step(kind) for kind in (LookupItems.kind, MergeNeighbours.kind)}
    having = {name: kind for kind, step in steps.items() if step for name in names if name in step.files}
    found = {name: release.trained_file(kind, name) for name, kind in having.items()}
    return {**found, IDS: release.trained_file("respond", IDS)} if found else {}


def renew_counts(trained: Mapping[str, Path], ids: pa.Array, target: Path) -> None:
    """Write counts for the catalogue of ``ids`` into the folder ``target``, under the same names.

    Args:
        trained: see `trained_files`.
    """
    rows = TrainedRows(as_arrow(np.load(trained[IDS])), ids)
    if transitions := _opened(Transitions, trained):
        rows.renewed_transitions(transitions).save(target)
    if weights := _opened(NeighbourWeights, trained):
        rows.renewed_neighbours(weights).save(target)


@dataclass(frozen=True)
class TrainedRows:
    """Where the items of the training are in a catalogue of m items."""

    ids: pa.Array
    """[n], of the training."""
    now: pa.Array
    """[m]."""

    def renewed_transitions(self, old: Transitions) -> Transitions:
        """The counts with the rows of now.

        Pairs with an item that is gone are left out. The totals stay, so the features of all other items do, too.
        Nothing has been counted of a new item.
        """
        kept, start, row = self._moved(old.start, old.row)
        trained = places(self.now, self.ids)
        share = np.where(trained >= 0, old.share[np.maximum(trained, 0)], 0).astype(np.float32)
        return Transitions(start, row, old.count[kept], old.total, share)

    def renewed_neighbours(self, old: NeighbourWeights) -> NeighbourWeights:
        """The same for item-item weights."""
        kept, start, row = self._moved(old.start, old.row)
        return NeighbourWeights(start, row, old.weight[kept])

    def _moved(
        self, start: NDArray[np.int64], row: NDArray[np.int32]
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int32]]:
        """Of a sparse matrix with items as columns: which entries [E] stay, and their starts and rows after that."""
        moved = places(self.ids, self.now).astype(np.int32)[row]
        kept = moved >= 0
        before = np.concatenate([[0], np.cumsum(kept)])
        return kept, before[start], moved[kept]


def _opened(kind: type[Counts], files: Mapping[str, Path]) -> Counts | None:
    """The counts of a kind, mapped, if there are any."""
    names = {field: file.name for field, file in kind.files(Path()).items()}
    if any(name not in files for name in names.values()):
        return None
    return kind(**{field: mapped(files[name]) for field, name in names.items()})
