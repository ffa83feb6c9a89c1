"""A split by time where many interactions have one time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.config import SplitConfig
from cascade.workflows.data.crowded_time import crowded_time, shown_time
from cascade.workflows.data.split import by_time, time_cuts

SCHEMA = {"sparse": ["user_id", "item_id"]}
ITEM = np.arange(320) % 30
START = 1_700_000_000


def stored(run_data, crowd, **split):
    """320 interactions of as many users, of which ``crowd`` have the time START, and the others one before or after."""
    times = START + np.concatenate([np.zeros(crowd, int), np.arange(320 - crowd) - (320 - crowd) // 2])
    log = {"user_id": np.arange(320), "item_id": ITEM, "timestamp": np.random.default_rng(0).permutation(times)}
    return run_data(SCHEMA, {"interactions": log}, split={"by": "time", **split}).metrics


def test_the_shares_the_time_and_the_keys_are_named(run_data):
    metrics = stored(run_data, 300)
    [notice] = [line for line in metrics["notices"] if "stay together" in line]
    assert notice.startswith("data.split.by time: the parts are train 3.1% (70.0% asked), valid 0.0% (20.0% asked)")
    assert "301 of 320 have the time 1700000000 (2023-11-14T22:13:20); choose another data.split.test_share" in notice


def test_no_row_for_training_has_cause_and_key(run_data):
    log = {"user_id": np.arange(320), "item_id": ITEM, "timestamp": START + (np.arange(320) > 310)}
    with pytest.raises(DataError, match=r"leaves no row for training; .*stay together.*1700000000.*test_share"):
        run_data(SCHEMA, {"interactions": log}, split={"by": "time"})


def test_times_apart_are_no_notice(run_data):
    assert not [line for line in stored(run_data, 1).get("notices", []) if "stay together" in line]


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.sampled_from([0.0, 0.1, 0.4]), st.just(0.2))
def test_there_is_a_notice_exactly_if_a_part_is_far_from_its_share(times, valid, test):
    stamps = np.array(times)
    total = np.bincount(by_time(stamps, *time_cuts(stamps.copy(), valid, test)), minlength=3)
    asked = len(times) * np.array([1 - valid - test, valid, test])
    far = [abs(n - a) > 2 and abs(n - a) / a > 0.5 if a else n > 2 for n, a in zip(total, asked, strict=True)]
    found = crowded_time(SplitConfig(by="time", valid_share=valid, test_share=test), stamps, total, 1_000_000)
    assert (found is not None) == any(far)


def test_times_as_people_read_them():
    assert shown_time(1_700_000_000_000, 1000) == "1700000000000 (2023-11-14T22:13:20)"
    assert shown_time(7, 1_000_000) == "7" and shown_time(2**62, 1_000_000) == str(2**62)
