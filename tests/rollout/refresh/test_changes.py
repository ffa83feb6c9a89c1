"""Which items are new, changed, as before and gone: by hand, and against sets."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.rollout.refresh.changes import as_arrow, as_numpy, catalogue_changes

BEFORE, HASHES = pa.array([10, 20, 30]), np.array([1, 2, 3])


def changes(table, hashes, remove=None):
    removed = None if remove is None else pa.array(remove, pa.int64())
    return catalogue_changes(BEFORE, HASHES, pa.array(table, pa.int64()), np.array(hashes, np.int64), removed)


def test_the_whole_assortment_by_hand():
    found = changes([30, 10, 15], [3, 9, 4])
    assert found.ids.to_pylist() == [10, 15, 30] and found.removed.tolist() == [1]
    assert found.old_row.tolist() == [0, -1, 2] and found.table_row.tolist() == [1, 2, 0]
    assert found.renewed.tolist() == [True, True, False] and found.hashes.tolist() == [9, 4, 3]
    assert (found.new, found.changed) == (1, 1) and found.new_row.tolist() == [0, -1, 2]


def test_changes_alone_by_hand():
    found = changes([20, 5], [2, 7], remove=[30, 99])
    assert found.ids.to_pylist() == [5, 10, 20] and found.removed.tolist() == [2]
    assert found.renewed.tolist() == [True, False, False] and found.table_row.tolist() == [1, -1, 0]


def test_an_item_cannot_come_and_go():
    with pytest.raises(DataError, match="item_id 20: is in --add and in --remove"):
        changes([20], [2], remove=[20])


@pytest.mark.parametrize(("table", "remove"), [([10], None), ([], [10, 20])])
def test_one_item_is_no_catalogue(table, remove):
    with pytest.raises(DataError, match="1 would be left, expected a catalogue of at least 2"):
        changes(table, [1] * len(table), remove)


TEXTS = st.dictionaries(st.text("aéz𝄞0", min_size=1, max_size=4), st.integers(0, 3), min_size=2, max_size=8)


@given(before=TEXTS, table=TEXTS, remove=st.none() | st.sets(st.text("aéz𝄞0", min_size=1, max_size=4), max_size=5))
def test_text_ids_against_sets(before, table, remove):
    before, remove = dict(sorted(before.items())), None if remove is None else remove - set(table)
    wanted = dict(table) if remove is None else {k: v for k, v in {**before, **table}.items() if k not in remove}
    ids, named = pa.array(list(before), pa.string()), None if remove is None else pa.array(sorted(remove), pa.string())
    given_ids, hashes = pa.array(list(table), pa.string()), np.array(list(before.values()))
    found = catalogue_changes(ids, hashes, given_ids, np.array(list(table.values())), named)
    assert found.ids.to_pylist() == sorted(wanted)
    assert found.hashes.tolist() == [wanted[key] for key in sorted(wanted)]
    assert found.renewed.tolist() == [before.get(key) != wanted[key] for key in sorted(wanted)]
    assert [list(before)[row] for row in found.removed] == [key for key in before if key not in wanted]
    assert found.any == (before != wanted)
    assert as_arrow(as_numpy(found.ids)).to_pylist() == sorted(wanted)
