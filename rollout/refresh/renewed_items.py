"""What the models of a release say of renewed items: their vectors, and their part of the ranker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.progress import progress
from ...ensemble.repository.refresh_files import ITEM_ID, ItemSpec
from ...models.index.stage import VECTORS
from ...models.onnx.export import run, session
from ...models.ranker.item_part import cast, split_part
from ...models.ranker.model_files import ITEM as RANKER_ITEM
from ...models.retriever.stage import ITEM as ITEM_TOWER
from .changes import CatalogueChanges, places
from .item_features import item_features
from .kept_release import KeptRelease

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 8192
"""Items that go through the models at once."""


@dataclass(frozen=True)
class RenewedItems:
    """The r renewed items of a catalogue, in its order."""

    codes: NDArray[np.int32]
    """[r], of their ids."""
    tables: Mapping[str, NDArray[Any]]
    """Name of each table of the item snapshot -> [r, width]; ``item_vectors`` is one of them."""


def renewed_items(release: KeptRelease, spec: ItemSpec, changes: CatalogueChanges, table: pa.Table) -> RenewedItems:
    """Compute the renewed items, chunk by chunk.

    Args:
        table: the raw columns of the items, see `CatalogueChanges.table_row`.

    Raises:
        DataError: a value is too far from those of the training.
    """

    rows = changes.table_row[changes.renewed]
    known = _known_codes(release, changes)
    parts = [_computed(release, spec, table.slice(0, 0), known[:0])]
    with progress(total=len(rows), desc="renewed items", unit=" items", unit_scale=True) as bar:
        for at in range(0, len(rows), CHUNK):
            some = table.take(rows[at : at + CHUNK])
            parts.append(_computed(release, spec, some, known[at : at + CHUNK]))
            bar.update(len(some))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return RenewedItems(joined[ITEM_ID][:, 0], joined)


def _computed(
    release: KeptRelease, spec: ItemSpec, table: pa.Table, known: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Feature or table -> values [c, width] of some items.

    Args:
        known: [c], the codes of ids that the release has, -1 for other ids.
    """
    features = item_features(table, spec, release.tables)
    codes = features[ITEM_ID]
    features[ITEM_ID] = np.where(known[:, None] >= 0, known[:, None], codes).astype(codes.dtype)
    found = {**features, Path(VECTORS).stem: _asked(release.refresh_files[ITEM_TOWER], features)}
    if (widths := spec.part_widths) is not None:
        found |= split_part(_asked(release.refresh_files[RANKER_ITEM], features), widths)
    return found


def _asked(model: Path, features: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """What an ONNX model gives for features of items."""
    asked = session(model)
    return run(asked, {entry.name: cast(features[entry.name], entry.type) for entry in asked.get_inputs()})


def _known_codes(release: KeptRelease, changes: CatalogueChanges) -> NDArray[np.int64]:
    """[r], the code of the id of each renewed item that the release has or has had; -1 for other items."""
    codes = np.load(release.file("transform", "item_codes.npy"))
    rows = places(changes.ids, release.known_ids)[changes.renewed]
    return np.where(rows >= 0, codes[np.maximum(rows, 0)], -1)
