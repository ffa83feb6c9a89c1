"""What is said about two releases: only what differs, and that by hand-counted numbers."""

import numpy as np
import pytest

from cascade.rollout.releases.difference import ItemsDifference, difference


def with_items(store, release: str, items: np.ndarray) -> None:
    np.save(store.folder(release) / "shop" / "1" / "item_ids.npy", items)


def test_equal_releases_differ_in_nothing(export, store) -> None:
    store.add(export("aaaa", settings={"layout": "fused"}))
    found = difference(store, "aaaa", "aaaa")
    assert (found.parts, found.settings, found.facts, found.items) == ({}, {}, {}, None)
    assert [*found.notices_added, *found.notices_gone] == []


def test_what_differs_is_told(export, store) -> None:
    first = {"ann": {"topk": 200, "type": "flat"}, "ops": []}
    second = {"ann": {"topk": 300, "type": "flat"}, "ops": [], "seen": "keep"}
    store.add(export("aaaa", settings=first, notices=("slow", "old")))
    store.add(export("bbbb", ("rank",), settings=second, notices=("slow", "new"), version=2))
    found = difference(store, "aaaa", "bbbb")
    assert found.parts == {"index": ("digest of aaaa", "digest of bbbb")}
    assert found.settings == {"ann.topk": (200, 300), "seen": (None, "keep")}
    assert found.facts.keys() == {"version", "layout", "bytes"}
    assert found.facts["version"] == (1, 2) and found.facts["layout"] == ("fused", "ensemble")
    assert (found.notices_gone, found.notices_added) == (["old"], ["new"])


def test_settings_are_left_out_if_one_release_does_not_hold_them(export, store) -> None:
    store.add(export("aaaa"))
    store.add(export("bbbb", settings={"seen": "keep"}))
    assert difference(store, "aaaa", "bbbb").settings == {}


@pytest.mark.parametrize("kind", ["int64", "U7"])
def test_items_are_counted(export, store, kind) -> None:
    store.add(export("aaaa"))
    store.add(export("bbbb"))
    with_items(store, "aaaa", np.array([1, 2, 3, 4]).astype(kind))
    with_items(store, "bbbb", np.array([2, 4, 5, 6, 7]).astype(kind))
    assert difference(store, "aaaa", "bbbb").items == ItemsDifference(first=4, second=5, added=3, gone=2)


def test_ids_that_became_text_are_other_items_only_if_they_read_otherwise(export, store) -> None:
    store.add(export("aaaa"))
    store.add(export("bbbb"))
    with_items(store, "aaaa", np.array([1, 2]))
    with_items(store, "bbbb", np.array(["2", "x", "y"]))
    assert difference(store, "aaaa", "bbbb").items == ItemsDifference(first=2, second=3, added=2, gone=1)
