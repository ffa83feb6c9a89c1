"""Arms by hash: against Python's hmac, with properties of growing shares, and on a million users."""

import hashlib
import hmac
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import ConfigError, DataError
from cascade.ensemble.protocol.assignment import STABLE, Assignment

IDS = np.arange(1000)


def canary(share: float, salt: str = "ranker-7") -> Assignment:
    return Assignment(salt, [("canary", share)])


def expected_point(salt: str, text: str) -> float:
    first = hmac.digest(salt.encode(), text.encode(), "sha256")[:8]
    return (int.from_bytes(first, "big") >> 11) / 2**53


def test_a_point_is_the_start_of_the_hmac():
    # printf 42 | openssl dgst -sha256 -hmac ranker-7
    assert hmac.new(b"ranker-7", b"42", hashlib.sha256).hexdigest()[:16] == "8a6445f88c9ac2c2"
    assert canary(0.5).points([42]).tolist() == [(0x8A6445F88C9AC2C2 >> 11) / 2**53]


@given(st.text("aé😀", min_size=1, max_size=80), st.lists(st.text("aé😀", max_size=80) | st.integers(), max_size=4))
@settings(max_examples=50)
def test_points_are_those_of_pythons_hmac(salt, ids):
    found = canary(0.5, salt).points(np.array(ids, object))
    assert found.tolist() == [expected_point(salt, str(one)) for one in ids]


def test_the_integer_5_and_the_text_5_are_the_same_user():
    assert canary(0.5).points(IDS).tolist() == canary(0.5).points(IDS.astype(str)).tolist()
    assert canary(0.5).points(IDS).tolist() == canary(0.5).points(IDS.astype(str).astype(object)).tolist()


def test_another_process_has_the_same_arms():
    code = (
        "from cascade.ensemble.protocol.assignment import Assignment;"
        "print(Assignment('ranker-7', [('canary', 0.3)]).arms(range(60)).tolist())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert other.strip() == str(canary(0.3).arms(IDS[:60]).tolist())


def test_shapes_names_and_missing_ids():
    arms = canary(1.0).arms(np.array([[1], [2], [np.iinfo(np.int64).min]]))
    assert arms.tolist() == [[1], [1], [0]] and arms.dtype == np.int64
    assert canary(1.0).arms(np.array(["a", None], object)).tolist() == [1, 0]
    assert canary(1.0).arms(["a", "b"]).tolist() == [1, 1]
    assert canary(1.0).arms(np.array([], np.int64)).shape == (0,)
    assert canary(1.0).names == (STABLE, "canary")
    assert Assignment("s", []).arms(IDS).max() == 0


@st.composite
def raised(draw):
    """Shares of up to 5 arms that fit, and the same with one of them raised."""
    arms = draw(st.integers(1, 5))
    width = 1 / math.ceil(arms / 2)
    shares = []
    for slot in range(0, arms, 2):
        first = draw(st.floats(0, 1))
        shares += [first * width, draw(st.floats(0, 1)) * (1 - first) * width][: arms - slot]
    index = draw(st.integers(0, arms - 1))
    others = [share for at, share in enumerate(shares) if at // 2 == index // 2 and at != index]
    more = shares.copy()
    more[index] += draw(st.floats(0, 1)) * max(0.0, width - sum(others) - shares[index])
    return shares, more, index + 1


@given(raised(), st.text(min_size=1, max_size=8))
@settings(max_examples=100)
def test_a_raised_share_only_moves_users_from_stable_into_its_arm(case, salt):
    shares, more, arm = case
    before, after = (Assignment(salt, [(f"arm{i}", s) for i, s in enumerate(part)]).arms(IDS) for part in case[:2])
    moved = before != after
    assert (before[moved] == 0).all() and (after[moved] == arm).all()
    assert set(np.unique(before)) <= set(range(len(shares) + 1)) and sum(more) <= 1 + 1e-9


def test_two_arms_may_have_everything():
    shares = [("a", 0.7), ("b", 0.3)]
    assert np.bincount(Assignment("s", shares).arms(IDS), minlength=3)[0] == 0
    assert np.bincount(Assignment("s", [("a", 0.6), ("b", 0.4)]).arms(IDS)).tolist()[0] == 0


@pytest.mark.slow
def test_a_million_users_have_the_shares_and_never_go_back():
    users = np.arange(1_000_000)
    before = np.zeros(len(users), np.int64)
    for share in (0.01, 0.05, 0.25, 0.5):
        arms = canary(share).arms(users)
        error = math.sqrt(share * (1 - share) / len(users))
        assert abs(arms.mean() - share) < 4 * error
        assert (arms >= before).all()
        before = arms
    other = canary(0.5, "ranker-8").arms(users)
    assert abs(np.mean(other[before == 1]) - 0.5) < 4 * math.sqrt(0.25 / before.sum())


@pytest.mark.parametrize(
    ("salt", "shares", "message"),
    [
        ("", [], r"salt: expected text of at least one character, got ''"),
        ("s", [("a", -0.1)], r"shares.a: expected a number from 0 to 1, got -0.1"),
        ("s", [("a", math.nan)], r"shares.a: expected a number from 0 to 1, got nan"),
        ("s", [("a", 1.5)], r"shares.a: expected a number from 0 to 1, got 1.5"),
        ("s", [("a", "0.1")], r"shares.a: expected a number from 0 to 1, got '0.1'"),
        ("s", [("a", 0.6), ("b", 0.5)], r"shares: expected a sum of at most 1, got 1.1 \(a 0.6, b 0.5\)"),
        ("s", [("a", 0.1), ("a", 0.1)], r"shares.a: expected each name once, got it 2 times"),
        ("s", [("", 0.1)], r"shares: expected text as the name of an arm, got ''"),
        ("s", [("stable", 0.1)], r"shares.stable: expected no share"),
        (
            "s",
            [("a", 0.4), ("b", 0.2), ("c", 0.1)],
            r"shares: expected at most 0.5 together, because there are 3 arms, got a 0.4, b 0.2",
        ),
    ],
)
def test_what_cannot_work_is_named(salt, shares, message):
    with pytest.raises(ConfigError, match=message):
        Assignment(salt, shares)


@pytest.mark.parametrize("ids", [[1.5], [True], np.array([1.0, "a"], object), np.array([b"a"])])
def test_ids_are_integers_or_text(ids):
    with pytest.raises(DataError, match="user_ids: expected integers or text, got"):
        canary(0.5).arms(ids)
