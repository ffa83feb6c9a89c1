"""Popularity as a score, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from cascade.models.retriever.item_to_item.popularity import popularity


def part(items, times, positive=None):
    count = len(items)
    return SimpleNamespace(
        item_row=np.array(items, np.int32),
        timestamp=np.array(times, np.int64),
        positive=np.ones(count, bool) if positive is None else np.array(positive),
    )


PARTS = {
    "train": part([0, 0, 0, 1, 1, 2, 3], [1, 2, 3, 4, 5, 6, 7], [True] * 6 + [False]),
    "valid": part([3, 3, 3, 3], [8, 9, 10, 11]),
}
TENSORS = SimpleNamespace(item_ids=np.arange(5), interactions=PARTS.__getitem__)


def test_the_log_of_positives_of_the_kept_above_the_first_that_is_not():
    got = popularity(TENSORS, ("train",), 1.0, 2)
    assert got.dtype == np.float32 and got.tolist() == pytest.approx([np.log(4 / 2), np.log(3 / 2), 0, 0, 0])


def test_all_are_kept():
    got = popularity(TENSORS, ("train", "valid"), 1.0, 5)
    assert got.tolist() == pytest.approx(np.log1p([3, 2, 1, 4, 0]))


def test_only_the_newest_positives_count():
    """Of the ten positives the newest half is from time 6 on: item 2 and item 3 four times."""
    assert popularity(TENSORS, ("train", "valid"), 0.5, 5).tolist() == pytest.approx(np.log1p([0, 0, 1, 4, 0]))


def test_nothing_is_popular_without_positives():
    none = SimpleNamespace(item_ids=np.arange(3), interactions=lambda name: part([], []))
    assert popularity(none, ("train",), 0.5, 2).tolist() == [0, 0, 0]
