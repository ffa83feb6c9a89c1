"""Codes of time gaps by hand and by Python's bit_length; the served codes against those of the ETL."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade.ensemble.graph.ops.transform import Transform
from cascade.workflows.history.gaps import (
    BITS,
    CODES,
    NEWEST,
    SHORTEST,
    gap_codes,
)
from cascade.workflows.history.history import Histories, HistoryGaps, Positives
from cascade.workflows.tables.timestamps import to_seconds
from cascade.workflows.transforms.codes import MISSING_INT
from cascade.workflows.transforms.lookup_tables import codes_for

N = MISSING_INT
ITEMS = 6


def coded(*rows):
    out = np.empty((len(rows), len(rows[0])), np.int64)
    gap_codes(np.array(rows, np.int64), out)
    return out.tolist()


def test_by_hand():
    # Newest first: 1, 2, 3 and 4 seconds before, an hour (3600 s, 12 bits), the same moment.
    assert coded([5000, 4999, 4997, 4994, 4990, 1390, 1390]) == [[1, 3, 4, 4, 5, 14, 2]]


def test_buckets_end_where_powers_of_two_begin():
    for bits in range(1, BITS):
        shortest, longest = 2 ** (bits - 1), 2**bits - 1
        assert coded([0, -shortest], [0, -longest]) == [[NEWEST, SHORTEST + bits]] * 2
    assert coded([0, -(2 ** (BITS - 1))], [0, -(2**62)]) == [[NEWEST, CODES - 1]] * 2


def test_padding_and_unknown_times():
    assert coded([N, N, N], [7, N, N], [N, 7, 6], [9, N, 6]) == [[0, 0, 0], [1, 0, 0], [0, 0, 3], [1, 0, 0]]


def test_a_negative_gap_is_zero_seconds():
    assert coded([10, 30, 9]) == [[NEWEST, SHORTEST, SHORTEST + 5]]


@pytest.mark.parametrize(("unit", "times"), [(1_000_000, [-3, 8]), (1000, [-2001, 8999]), (1, [-2_000_001, 8_000_000])])
def test_units_are_seconds(unit, times):
    assert to_seconds(np.array(times), unit).tolist() == [-3, 8]


def naive(times):
    """The gap codes of one user's times, most recent first."""
    gaps = (max(newer - older, 0) for newer, older in zip(times, times[1:], strict=False))
    return [NEWEST, *(SHORTEST + min(gap.bit_length(), BITS) for gap in gaps)] if times else []


@pytest.fixture(scope="module")
def transform(tmp_path_factory):
    """The op for item ids 0 .. 5 with codes 3 .. 8; other ids are unknown."""
    folder = tmp_path_factory.mktemp("transforms")
    codes_for(np.arange(ITEMS), np.arange(ITEMS)).save(folder, "item_rows")
    np.save(folder / "item_codes.npy", np.arange(3, 3 + ITEMS, dtype=np.int32))
    op = Transform([], {}, history=4, gaps=True)
    op.load(folder)
    return op


def padded(rows):
    width = max([1, *map(len, rows)])
    return np.array([[*row, *[N] * (width - len(row))] for row in rows], np.int64)


EVENT = st.tuples(st.integers(0, 2**40), st.integers(0, ITEMS - 1))


@given(st.lists(st.lists(EVENT, max_size=7), min_size=1, max_size=5))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_served_gaps_are_the_etls(transform, logs):
    logs = [sorted(log, key=lambda event: event[0]) for log in logs]
    events = [event for log in logs for event in log]
    times, items = (np.array([event[at] for event in events], np.int64) for at in range(2))
    first = np.append(0, np.cumsum([len(log) for log in logs]))
    positives = Positives(first, (items + 3).astype(np.int32), times)
    of = (positives, np.arange(len(logs), dtype=np.int32), first[1:], 4)
    newest = [log[::-1] for log in logs]
    got = transform(
        {
            "history_ids": padded([[item for _, item in log] for log in newest]),
            "history_times": padded([[time for time, _ in log] for log in newest]),
            **dict.fromkeys(("rejected_ids", "exclude_items"), np.full((len(logs), 1), N)),
        }
    )
    np.testing.assert_array_equal(got["history_gap"], HistoryGaps(*of))
    np.testing.assert_array_equal(got["history"], Histories(*of))
    expected = [naive([time for time, _ in log])[:4] for log in newest]
    assert got["history_gap"].tolist() == [[*codes, *[0] * (4 - len(codes))] for codes in expected]


def test_selected_rows_of_the_etl_equal_those_of_all():
    positives = Positives(np.array([0, 4]), np.arange(3, 7, dtype=np.int32), np.array([0, 1, 5, 5]))
    gaps = HistoryGaps(positives, np.zeros(5, np.int32), np.arange(5), 3)
    assert np.asarray(gaps).tolist() == [[0, 0, 0], [1, 0, 0], [1, 3, 0], [1, 5, 3], [1, 2, 5]]
    assert gaps.take(np.array([4, 1]))[:, :2].tolist() == [[1, 2], [1, 0]]
