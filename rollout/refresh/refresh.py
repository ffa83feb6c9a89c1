"""`cascade index refresh`: a kept release with other items, and the same models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...core.errors import ConfigError
from ...core.files import OwnedFolder, owned_folder
from ...ensemble.repository.refresh_files import HASHES, ITEM_ID, ItemSpec
from ...workflows.config import DataConfig, TextConfig
from ...workflows.transforms.row_hashes import row_hashes
from ..releases.store import ReleaseStore
from ..releases.writer_lock import writable
from .changes import CatalogueChanges, as_arrow, catalogue_changes
from .item_table import id_table, item_table
from .kept_release import KeptRelease
from .rebuild import Rebuild
from .renewed_items import renewed_items

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class WantedItems:
    """Which items a release shall have. Without any file: the items of ``data.source``, and no others."""

    items: Path | None = None
    """Table of all items."""
    add: Path | None = None
    """Table of new and changed items; the others stay."""
    remove: Path | None = None
    """Table with the ids of those to take off; the others stay."""

    def __post_init__(self) -> None:
        if self.items and self.partly:
            raise ConfigError("--items: is the whole assortment, so expected neither --add nor --remove beside it")

    @property
    def partly(self) -> bool:
        """Whether the files name only what changes."""
        return self.add is not None or self.remove is not None


@dataclass(frozen=True)
class Refreshed:
    """What a refresh has made."""

    source: str
    """Id of the release that was refreshed."""
    release: str | None
    """Id of the new one, which is kept; None if nothing has changed."""
    items: int
    """Items of the catalogue now."""
    new: int
    changed: int
    removed: int
    not_there: int = 0
    """Ids that were to be taken off, but that no item of ``source`` has."""


def refresh(
    store: ReleaseStore, source: str, wanted: WantedItems, data: DataConfig, text: TextConfig | None = None
) -> Refreshed:
    """Keep a release that is ``source`` with other items.

    Items that are new or have changed get their vectors from its item tower; the models see a new item as one with an
    unknown id. Everything about the other items stays as it is.

    Args:
        source: whole id of a release.
        data: how the tables are read.
        text: names the folder of the text encoder on this machine, if the release has one.

    Raises:
        ReleaseError: ``source`` is not kept or cannot be refreshed, the repository cannot be written to, or another
            process is changing the releases.
        ArtifactError: a file of it is damaged.
        ConfigError: the config names no items.
        DataError: naming table, column and row of what cannot be used.
        DiskError: a disk is full; nothing stays.
    """
    store.verify(source)
    release = KeptRelease.open(store, source)
    spec = _with_encoder(release.spec, text)
    table, changes, named = _changes(release, spec, wanted, data)
    counts = len(changes.ids), changes.new, changes.changed, len(changes.removed), _not_there(release, named)
    done = Refreshed(source, None, *counts)
    if not changes.any:
        return done
    with writable(store.place.parent):
        folder: OwnedFolder = owned_folder("refresh", store.place.parent)
    try:
        work, repository = folder.path / "files", folder.path / "models"
        work.mkdir()
        renewed = renewed_items(release, spec, changes, table)
        made = Rebuild(release, changes, renewed, named, work).write(repository)
        store.add(repository)
    finally:
        folder.remove()
    return replace(done, release=made.release)


def _changes(
    release: KeptRelease, spec: ItemSpec, wanted: WantedItems, data: DataConfig
) -> tuple[pa.Table, CatalogueChanges, pa.Array]:
    """The table of items, what it changes, and the ids that are named to be taken off."""
    ids = as_arrow(release.item_ids)
    nobody = ids.slice(0, 0)
    named = id_table(spec, data, wanted.remove) if wanted.remove else nobody
    if wanted.add is None and wanted.partly:
        table = spec.empty_table()
    else:
        table = item_table(spec, data, wanted.add or wanted.items)
    hashes = np.load(release.refresh_files[HASHES])
    given = table[ITEM_ID].combine_chunks().cast(ids.type)
    remove = named if wanted.partly else None
    return table, catalogue_changes(ids, hashes, given, row_hashes(table, spec.columns), remove), named


def _not_there(release: KeptRelease, named: pa.Array) -> int:
    """How many of the named ids no item of a release has."""
    import pyarrow.compute as pc

    ids = as_arrow(release.item_ids)
    there = pc.is_in(pc.unique(named).cast(ids.type), value_set=ids)
    return len(there) - (pc.sum(there).as_py() or 0)


def _with_encoder(spec: ItemSpec, text: TextConfig | None) -> ItemSpec:
    """The spec with the folder of the text encoder as it is here."""
    if text is None or text.encoder is None or spec.text["encoder"] is None:
        return spec
    own: Mapping[str, object] = {**spec.text, "encoder": text.encoder}
    return replace(spec, text=own)
