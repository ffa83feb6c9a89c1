"""The users of a load test's requests."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cascade.bench.load.workload import Workload, draw_users, unknown_ids


def test_frequencies_follow_the_rank():
    known = np.arange(100)
    counts = Counter(draw_users(known, 200_000, np.random.default_rng(0), exponent=0.8, unknown=0).tolist())
    by_rank = [count for _, count in counts.most_common()]
    weights = [rank**-0.8 for rank in range(1, 101)]
    assert by_rank[0] / 200_000 == pytest.approx(weights[0] / sum(weights), rel=0.05)
    assert by_rank[0] / by_rank[31] == pytest.approx(32**0.8, rel=0.1)  # 16 times as often


def test_the_activity_of_a_user_does_not_depend_on_the_id():
    known = np.arange(1000)
    counts = Counter(draw_users(known, 50_000, np.random.default_rng(3), unknown=0).tolist())
    assert {user for user, _ in counts.most_common(5)} != {0, 1, 2, 3, 4}


@pytest.mark.parametrize("known", [np.arange(50, 150), np.array([f"user-{n}" for n in range(100)])], ids=["int", "str"])
def test_the_share_of_unknown_users(known):
    drawn = draw_users(known, 20_000, np.random.default_rng(1), unknown=0.02).tolist()
    unknown = [user for user in drawn if user not in set(known.tolist())]
    assert len(unknown) / len(drawn) == pytest.approx(0.02, rel=0.2)
    assert len(set(unknown)) == len(unknown)
    assert {type(user) for user in drawn} == {type(known.tolist()[0])}


@given(st.lists(st.integers(0, 2**53), min_size=1, max_size=50, unique=True), st.integers(0, 30))
def test_unknown_ids_are_unknown_and_distinct(known, count):
    found = unknown_ids(np.array(known), count, np.random.default_rng(0)).tolist()
    assert len(set(found)) == count and not set(found) & set(known)


def test_the_file_has_the_form_that_perf_analyzer_reads(tmp_path):
    workload = Workload(top_k=7, temperature=1, requests=300, seed=5)
    workload.write(np.array(["a", "b"]), tmp_path / "first.json")
    workload.write(np.array(["a", "b"]), tmp_path / "again.json")
    text = (tmp_path / "first.json").read_text()
    assert text == (tmp_path / "again.json").read_text()
    assert '"temperature": [1.0]' in text  # 1 would be refused
    entries = json.loads(text)["data"]
    assert len(entries) == 300 and {tuple(entry) for entry in entries} == {("user_id", "top_k", "temperature", "seed")}
    assert {entry["top_k"][0] for entry in entries} == {7}
    assert len({entry["seed"][0] for entry in entries}) == 300
