"""How two releases differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .release_files import read_manifest
from .store import ReleaseStore, StoredRelease

ITEMS = "item_ids.npy"
"""The catalogue in a release, see `Respond`."""
Pair = tuple[Any, Any]
"""A value of the first release and of the second one; None where there is none."""


@dataclass(frozen=True)
class ItemsDifference:
    """How two catalogues differ, in numbers of items."""

    first: int
    second: int
    added: int
    gone: int


@dataclass(frozen=True)
class ReleaseDifference:
    """Only what differs between two releases."""

    parts: Mapping[str, Pair]
    """Stage -> digests of its artifacts."""
    settings: Mapping[str, Pair]
    """Dotted key of the section ``serving`` -> values. Empty if one of the releases does not hold its settings."""
    facts: Mapping[str, Pair]
    """Of pipeline, version, layout and bytes, and ``refreshed from``."""
    notices_added: Sequence[str]
    notices_gone: Sequence[str]
    items: ItemsDifference | None
    """None if a release holds no catalogue."""


def difference(store: ReleaseStore, first: str, second: str) -> ReleaseDifference:
    """How the release ``second`` differs from ``first``.

    Args:
        first, second: whole ids.

    Raises:
        ReleaseError: one is not kept.
        ArtifactError: the description of one is damaged.
    """
    one, other = store.read(first), store.read(second)
    settings = [_flat(read_manifest(store.folder(each), store.model).settings) for each in (first, second)]
    facts = [_facts(each) for each in (one, other)]
    return ReleaseDifference(
        parts=_pairs(one.parts, other.parts),
        settings=_pairs(*settings) if all(settings) else {},
        facts=_pairs(*facts),
        notices_added=[notice for notice in other.notices if notice not in one.notices],
        notices_gone=[notice for notice in one.notices if notice not in other.notices],
        items=_items(store.folder(first), store.folder(second)),
    )


def _facts(release: StoredRelease) -> dict[str, Any]:
    found = {name: getattr(release, name) for name in ("pipeline", "version", "layout", "bytes")}
    return {**found, "refreshed from": (release.refreshed or {}).get("from")}


def _pairs(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Pair]:
    keys = sorted(one.keys() | other.keys())
    return {key: (one.get(key), other.get(key)) for key in keys if one.get(key) != other.get(key)}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _items(first: Path, second: Path) -> ItemsDifference | None:
    files = [next(iter(sorted(folder.rglob(ITEMS))), None) for folder in (first, second)]
    if files[0] is None or files[1] is None:
        return None
    one, other = (np.load(file, mmap_mode="r") for file in files if file)
    if one.dtype.kind != other.dtype.kind:  # numbers in one, texts in the other
        one, other = one.astype(str), other.astype(str)
    both = len(np.intersect1d(one, other, assume_unique=True))
    return ItemsDifference(len(one), len(other), len(other) - both, len(one) - both)
