"""Leaks planted in a small log are found; a log without leaks passes."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from cascade.core.errors import ConfigError, DataError
from cascade.workflows.leaks.future_counts import whole_log_correlations
from cascade.workflows.leaks.overlap import Overlap, overlap
from cascade.workflows.leaks.single_feature_auc import auc_of, out_of_fold_rate

USERS, ITEMS, ROWS = 300, 120, 6000
SCHEMA = {"sparse": ["user_id", "item_id", "device", "geo"], "dense": ["hour", "price"]}


def make_log(seed=0):
    rng = np.random.default_rng(seed)
    user, item, hour = rng.integers(0, USERS, ROWS), rng.integers(0, ITEMS, ROWS), rng.random(ROWS)
    label = (rng.random(ROWS) < 0.2 + 0.5 * hour).astype(int)
    interactions = {
        **{"user_id": user, "item_id": item, "timestamp": np.arange(ROWS), "label": label},
        **{"hour": hour, "device": np.array(["app", "web"])[rng.integers(0, 2, ROWS)]},
        "split": np.where(np.arange(ROWS) < 4000, "train", np.where(np.arange(ROWS) < 5000, "valid", "test")),
    }
    users = {"user_id": np.arange(USERS), "geo": np.array(["n", "s"])[np.arange(USERS) % 2]}
    items = {"item_id": np.arange(ITEMS), "price": rng.random(ITEMS)}
    return {"interactions": interactions, "users": users, "items": items}


@pytest.fixture
def check(run_data):
    """Runs the data stage on a log with a split column; ``dense`` and ``sparse`` are further features."""

    def run(log, dense=(), sparse=(), **data):
        schema = {"sparse": [*SCHEMA["sparse"], *sparse], "dense": [*SCHEMA["dense"], *dense]}
        return run_data(schema, log, **{"split": {"by": "column", "column": "split"}, **data}).metrics

    return run


def test_a_log_without_leaks_passes_and_names_the_closest_feature(check):
    got = check(make_log())
    assert got["recsys_label_leak_check"] == 1
    assert got["leak_check"]["column"] == "hour" and 0.6 < got["leak_check"]["highest_auc"] < 0.75
    assert got["leak_check"]["features"] == 4 and got["leak_check"]["overlap"] == 0


class TestKnownAfterwards:
    def leaking(self, name="play_time"):
        log = make_log()
        label = log["interactions"]["label"]
        log["interactions"][name] = label * 30.0 + np.random.default_rng(1).random(ROWS)
        return log

    def test_a_number(self, check):
        with pytest.raises(
            DataError, match=r"interactions\.play_time by itself predicts label with an AUC of 1\.0000 on 4,000"
        ):
            check(self.leaking(), dense=["play_time"])

    def test_a_column_that_is_not_a_feature_leaks_nothing(self, check):
        assert check(self.leaking())["recsys_label_leak_check"] == 1

    def test_one_that_is_ignored(self, check):
        got = check(self.leaking(), dense=["play_time"], leak_check={"ignore": ["play_time"]})
        assert got["recsys_label_leak_check"] == 1 and got["leak_check"]["column"] == "hour"

    def test_off(self, check):
        got = check(self.leaking(), dense=["play_time"], leak_check={"enabled": False})
        assert got["recsys_label_leak_check"] is None and "leak_check" not in got

    def test_one_that_is_strong_but_not_perfect_is_logged(self, check, caplog):
        log = make_log()
        log["interactions"]["stay"] = log["interactions"]["label"] + np.random.default_rng(3).normal(0, 0.5, ROWS)
        assert 0.9 < check(log, dense=["stay"])["leak_check"]["highest_auc"] < 0.98
        assert "stay predicts label with an AUC of 0.9" in caplog.text

    def test_ignoring_what_is_not_there(self, check):
        with pytest.raises(ConfigError, match=r"ignore: 'hours' is not a feature, did you mean 'hour'\?"):
            check(make_log(), leak_check={"ignore": ["hours"]})

    def test_a_word(self, check):
        log = make_log()
        log["interactions"]["state"] = np.where(log["interactions"]["label"] == 1, "paid", "open")
        with pytest.raises(DataError, match=r"schema\.sparse: interactions\.state .*ignore: \[state\]"):
            check(log, sparse=["state"])

    def test_a_column_that_only_positives_have(self, check):
        log = make_log()
        values = np.random.default_rng(2).random(ROWS)
        log["interactions"]["basket"] = [
            v if y else None for v, y in zip(values, log["interactions"]["label"], strict=True)
        ]
        with pytest.raises(DataError, match=r"interactions\.basket"):
            check(log, dense=["basket"])

    def test_a_column_of_users(self, check):
        log = make_log()
        rich = np.arange(USERS) % 3 == 0
        log["interactions"]["label"] = rich[log["interactions"]["user_id"]].astype(int)
        log["users"]["bought"] = np.where(rich, "yes", "no")
        with pytest.raises(DataError, match=r"users\.bought"):
            check(log, sparse=["bought"])

    def test_the_positives_and_every_leak_are_named(self, check):
        log = self.leaking()
        log["interactions"]["late"] = log["interactions"]["label"] * 1.0
        with pytest.raises(DataError) as error:
            check(log, dense=["play_time", "late"])
        assert len(str(error.value).splitlines()) == 2

    def test_a_few_rows_prove_nothing(self, check):
        log = self.leaking()
        log["interactions"] = {name: values[3950:4050] for name, values in log["interactions"].items()}
        log["interactions"]["split"][60:] = "test"
        assert check(log, dense=["play_time"])["leak_check"]["features"] == 0

    def test_a_log_of_only_positives_cannot_be_checked(self, check):
        log = make_log()
        del log["interactions"]["label"]
        assert check(log)["recsys_label_leak_check"] == 1

    def test_the_column_of_the_split(self, check):
        log = make_log()
        log["interactions"]["part"] = log["interactions"].pop("split")
        with pytest.raises(ConfigError, match="'part' is a feature, and data.split.column reads it"):
            check(log, sparse=["part"], split={"by": "column", "column": "part"})


class TestOverlap:
    def doubled(self, rows, part="test"):
        log = make_log()
        for name, values in log["interactions"].items():
            again = np.full(rows, part) if name == "split" else values[:rows]
            log["interactions"][name] = np.concatenate([values, again])
        return log

    def test_rows_in_two_parts_stop(self, check):
        with pytest.raises(DataError, match=r"30 \(1\.48%\) of the held-out ones are in another part .*e\.g\. user_id"):
            check(self.doubled(30))

    def test_valid_counts_too(self, check):
        with pytest.raises(DataError, match=r"30 \(1\.48%\)"):
            check(self.doubled(30, "valid"))

    def test_a_few_are_logged(self, check, caplog):
        assert check(self.doubled(2))["leak_check"]["overlap"] == pytest.approx(2 / 2002)
        assert "2 (0.10%) of the held-out ones" in caplog.text

    def test_more_may_be_allowed(self, check):
        assert check(self.doubled(30), leak_check={"max_overlap": 0.02})["leak_check"]["overlap"] > 0.009

    def test_twice_in_one_part_is_no_overlap(self, check):
        assert check(self.doubled(30, "train"))["leak_check"]["overlap"] == 0

    def test_without_timestamps_a_repeated_pair_is_another_event(self, check):
        log = self.doubled(30)
        del log["interactions"]["timestamp"]
        assert check(log)["leak_check"]["overlap"] == 0

    def test_a_log_that_is_repeated(self, run_data):
        log = {"interactions": {"user_id": [1, 1, 1, 2, 2, 2] * 2, "item_id": [1, 2, 3, 3, 2, 1] * 2,
                                "timestamp": [1, 2, 3, 1, 2, 3] * 2}}  # fmt: skip
        with pytest.raises(DataError, match=r"2 \(.*\) of the held-out ones"):
            run_data({"sparse": ["user_id", "item_id"]}, log)

    def test_by_hand(self, tmp_path):
        import pyarrow.parquet as pq

        rows = [
            # user, item, timestamp, positive, split
            ("a", 1, 5, True, "train"), ("a", 1, 5, True, "test"), ("a", 1, 5, False, "test"),
            ("a", 2, 5, True, "test"),
            ("b", 1, 5, True, "valid"), ("b", 1, 5, True, "test"), ("b", 1, 5, True, "test"), ("b", 1, 6, True, "test"),
        ]  # fmt: skip
        columns = dict(
            zip(["user_id", "item_id", "timestamp", "positive", "split"], zip(*rows, strict=True), strict=True)
        )
        (tmp_path / "interactions").mkdir()
        pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), tmp_path / "interactions/part-0.parquet")
        assert overlap(tmp_path) == Overlap(3, 3 / 7, "user_id a, item_id 1, timestamp 5")


class TestFuture:
    def log(self, rows):
        """A log whose items have the number of their interactions in ``rows``."""
        log = make_log()
        taken = log["interactions"]["item_id"][rows]
        log["items"]["views"] = np.log1p(np.bincount(taken, minlength=ITEMS))
        return log

    def test_counts_of_the_whole_log_stop(self, check):
        with pytest.raises(
            DataError, match=r"items\.views ranks items as their number of interactions in the whole log"
        ):
            check(self.log(slice(None)), dense=["views"])

    def test_counts_of_the_training_part_do_not(self, check):
        assert check(self.log(slice(0, 4000)), dense=["views"])["recsys_label_leak_check"] == 1

    def test_rates_of_the_whole_log_stop(self, check):
        log = make_log()
        shown, label = log["interactions"]["user_id"], log["interactions"]["label"]
        log["users"]["click_rate"] = np.bincount(shown, label, USERS) / np.bincount(shown, minlength=USERS)
        with pytest.raises(DataError, match=r"users\.click_rate ranks users as their rate of positives"):
            check(log, dense=["click_rate"])
        assert check(log, dense=["click_rate"], leak_check={"ignore": ["click_rate"]})["recsys_label_leak_check"] == 1

    def test_too_few_different_values_prove_nothing(self):
        whole = np.arange(300.0)
        assert whole_log_correlations(whole, whole, whole) is None
        train = whole.copy()
        train[:99] += 50
        assert whole_log_correlations(whole, whole, train) is None


def test_out_of_fold_rates_leave_out_the_own_fold():
    label = np.array([True, False, True, True])
    alone = out_of_fold_rate(np.array([0, 1, 2, 3]), label, np.arange(4))
    assert alone == pytest.approx(0.75)  # nobody else has the value: the overall rate
    rng = np.random.default_rng(1)
    codes, label = rng.integers(0, 2, 20_000), rng.random(20_000) < 0.3
    got = out_of_fold_rate(codes, label, np.arange(20_000))
    assert abs(got.mean() - label.mean()) < 0.01 and len(np.unique(got)) == 10


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_values_of_a_single_owner_predict_nothing(seed):
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, 200, 4000)
    label = (np.arange(200) % 2 == 0)[owner]
    words = pa.chunked_array([pa.array([f"w{i}" for i in owner])])
    assert 0.3 < auc_of(words, label, owner) < 0.7


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 3))
@settings(max_examples=20)
def test_the_direction_of_numbers_does_not_matter(seed, noise):
    rng = np.random.default_rng(seed)
    label = rng.random(3000) < 0.3
    numbers = label + noise * rng.normal(size=3000)
    up, down = (auc_of(pa.chunked_array([sign * numbers]), label, np.arange(3000)) for sign in (1, -1))
    assert up == pytest.approx(down, abs=0.02)
    assert up >= roc_auc_score(label, numbers) - 1e-12
