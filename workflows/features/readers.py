"""What releases that may answer at any moment read of the online store. A publication takes none of it from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.errors import ReleaseError
from .spec import PROFILE, FeatureSpec, View

SERVED, KEPT = "served", "kept"
"""Roles of a release that is in no live set: a server has it, or it is kept while the live set cannot be read."""


@dataclass(frozen=True)
class StoreReader:
    """What a release reads of the users in the online store."""

    release: str
    """Its id."""
    role: str
    """Why it may answer: ``stable``, ``previous``, the name of its arm or shadow, or `SERVED` or `KEPT`."""
    keys: Mapping[str, str]
    """user_id and item_id -> int or string."""
    columns: Mapping[str, str]
    """Columns of ``user_profile`` -> their kinds."""
    profile: bool
    """Whether it asks ``user_profile``, be it only whether a user is known."""
    seen: int
    """The most item ids of a history."""
    times: bool
    """Whether it reads ``history_times``."""

    @property
    def named(self) -> str:
        """The release as messages call it."""
        return f"release {self.release} ({self.role})"


def superset(spec: FeatureSpec, readers: Sequence[StoreReader]) -> FeatureSpec:
    """``spec`` with what ``readers`` read and it lacks: columns of ``user_profile``, or that whole view.

    Raises:
        ReleaseError: it has something in another type than one of ``readers`` reads it.
    """
    for reader in readers:
        if found := conflicts(spec, reader):
            what = "; ".join(text for text, _ in found)
            mend = " and ".join(dict.fromkeys(way for _, way in found))
            raise ReleaseError(
                f"feature_store: {reader.named} reads {what}. Nothing was published, as it would answer wrongly. "
                f"{_sentence([mend, _ANOTHER_PROJECT, *_ends(reader)])}"
            )
    profile = spec.view(PROFILE)
    if profile is None and not any(reader.profile for reader in readers):
        return spec
    own = profile.columns if profile else {}
    kept = {name: kind for reader in readers for name, kind in reader.columns.items() if name not in own}
    others = (view for view in spec.views if view.name != PROFILE)
    return replace(spec, views=(View(PROFILE, "user", {**own, **kept}), *others))


def conflicts(spec: FeatureSpec, reader: StoreReader) -> list[tuple[str, str]]:
    """What ``reader`` reads in another type than ``spec`` has it, in words, and what to do about each.

    Lists of a history belong together, so one that is missing or shorter cannot be kept from an older publication.
    """
    found = [
        (f"{name} as {kind}, and the new data has {spec.keys[name]}", "read the ids of the data as before")
        for name, kind in reader.keys.items()
        if spec.keys[name] != kind
    ]
    profile = spec.view(PROFILE)
    own = profile.columns if profile else {}
    found += [
        (
            f"{PROFILE}.{name} as {kind}, and the new data has {own[name]}",
            "give the column of the new data another name",
        )
        for name, kind in reader.columns.items()
        if own.get(name, kind) != kind
    ]
    if reader.times and not spec.times:
        found.append(("user_history.history_times, which needs history.gaps", "set history.gaps to true"))
    if reader.seen > spec.seen:
        read = f"{reader.seen} items of a history, and history.seen is {spec.seen}"
        found.append((read, f"set history.seen to {reader.seen}"))
    return found


def lacking(spec: FeatureSpec, reader: StoreReader) -> list[str]:
    """What ``reader`` reads and a store with the views of ``spec`` has not, or has in another type, in words."""
    profile = spec.view(PROFILE)
    own = profile.columns if profile else {}
    missing = [f"{PROFILE}.{name}, which the store lacks" for name in reader.columns if name not in own]
    if reader.profile and profile is None and not missing:
        missing = [f"{PROFILE}, which the store lacks"]
    return [*missing, *(text.replace("the new data", "the store") for text, _ in conflicts(spec, reader))]


_ANOTHER_PROJECT = "set feature_store.project to another name and run `cascade run --take-over`"


def _ends(reader: StoreReader) -> list[str]:
    """How ``reader`` need not be looked after any more; the stable release answers until another one does."""
    ways = {
        **dict.fromkeys(("stable", SERVED), []),
        "previous": [f"give up the way back with `cascade release retire {reader.release} --previous`"],
        KEPT: ["repair the live set, which is damaged, so that only the releases count that it names"],
    }
    return ways.get(reader.role, ["end it with `cascade release stop`"])


def _sentence(ways: Sequence[str]) -> str:
    text = "; or ".join(ways)
    return text[0].upper() + text[1:]
