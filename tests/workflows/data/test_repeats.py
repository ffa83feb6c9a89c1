"""Whether users come back to items, and what ``serving.seen: auto`` is then."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import DataError
from cascade.workflows.data import repeats
from cascade.workflows.data.repeats import Repeats, count_repeats, keeps_seen

SCHEMA = {"sparse": ["user_id", "item_id"]}


def write(folder, rows, files=1):
    """``rows``: user, item, positive, split; each user's in order."""
    (folder / "interactions").mkdir(parents=True)
    users = np.array([row[0] for row in rows])
    for file in range(files):
        own = [row for row, user in zip(rows, users, strict=True) if file * 4 <= user < (file + 1) * 4 or files == 1]
        columns = dict(zip(repeats.COLUMNS, zip(*own, strict=True), strict=True)) if own else {}
        types = {"user_id": pa.int64(), "item_id": pa.string(), "positive": pa.bool_(), "split": pa.string()}
        table = pa.table({name: pa.array(columns.get(name, []), kind) for name, kind in types.items()})
        pq.write_table(table, folder / "interactions" / f"part-{file:05d}.parquet")
    return count_repeats(folder)


def test_by_hand(tmp_path):
    of_1 = [(1, item, True, "train") for item in "aabab"]  # a, b, a, b: two of three later ones
    of_2 = [(2, "a", True, "train"), (2, "c", False, "train"), (2, "c", True, "test"), (2, "a", True, "test")]
    found = write(tmp_path, of_1 + of_2)
    assert found == Repeats(users=2, shares=2 / 3 + 1 / 2, held_out=2, known=1)
    assert found.facts() == {"repeat_share": found.share, "held_out_repeat_share": 0.5, "seen": "keep"}
    assert "58.3% of a user's later positives" in found.notices()[0]


def test_a_bot_is_one_user(tmp_path):
    bot = [(0, "ab"[at % 2], True, "train") for at in range(1000)]
    others = [(user, item, True, "train") for user in range(1, 50) for item in "abc"]
    assert write(tmp_path, bot + others).seen == "drop"


def test_without_positives(tmp_path):
    nothing = write(tmp_path, [(1, "a", False, "train")])
    assert nothing == Repeats(0, 0, 0, 0) and nothing.notices() == []
    assert nothing.facts() == {"repeat_share": 0.0, "held_out_repeat_share": 0.0, "seen": "drop"}


def by_loops(rows):
    """The same, counted one by one."""
    found = {"users": 0, "shares": 0.0, "held_out": 0, "known": 0}
    for user in {row[0] for row in rows}:
        own = [(item, split) for u, item, positive, split in rows if u == user and positive]
        had, last, later, repeated = set(), None, 0, 0
        for item, _ in own:
            if item != last:
                later += bool(had)
                repeated += item in had
            had.add(item)
            last = item
        found["users"] += later > 0
        found["shares"] += repeated / max(later, 1)
        test = {item for item, split in own if split == "test"}
        found["held_out"] += len(test)
        found["known"] += len(test & {item for item, split in own if split != "test"})
    return Repeats(**found)


parts = st.sampled_from(["train", "valid", "test"])
events = st.tuples(st.integers(0, 7), st.sampled_from("abcd"), st.booleans(), parts)


@settings(max_examples=150, deadline=None)
@given(st.lists(events, max_size=40), st.sampled_from([1, 2]), st.integers(1, 5))
def test_counts_are_those_of_a_loop_in_chunks_of_any_size(tmp_path_factory, rows, files, chunk):
    rows = sorted(rows, key=lambda row: row[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repeats, "ROWS", chunk)
        found, expected = write(tmp_path_factory.mktemp("data"), rows, files), by_loops(rows)
    assert replace(found, shares=expected.shares) == expected
    assert found.shares == pytest.approx(expected.shares)


def facts(folder, seen, share=0.0):
    (folder / "tables.json").write_text(json.dumps({"seen": seen, "held_out_repeat_share": share}))
    return folder


@pytest.mark.parametrize("of_data", ["keep", "drop"])
def test_the_setting_comes_before_the_data(tmp_path, of_data):
    data = facts(tmp_path, of_data, 0.9)
    assert [keeps_seen(setting, data) for setting in ("auto", "keep", "drop")] == [of_data == "keep", True, False]


def test_nothing_new_to_find_is_an_error_that_names_the_key(tmp_path):
    data = facts(tmp_path, "keep", 1.0)
    assert keeps_seen("auto", data)
    with pytest.raises(DataError, match=r"every positive of the test part.*\(serving.seen: drop\).*serving.seen: keep"):
        keeps_seen("drop", data)


def table(item, **more):
    rows = np.arange(len(item))
    return {"interactions": {"user_id": rows // 8, "item_id": item, **more}}


def stored(artifact):
    return json.loads((artifact.path / "tables.json").read_text())


@pytest.mark.parametrize("times", [True, False], ids=["with times", "a set"])
def test_the_data_stage_notices_and_says_it(run_data, times):
    rng = np.random.default_rng(0)
    once = np.concatenate([rng.permutation(30)[:8] for _ in range(60)])
    again = np.concatenate([rng.choice(4, 8) + 4 * (user % 7) for user in range(60)])
    stamps = {"timestamp": 1_700_000_000 + 60 * np.arange(480)} if times else {}
    found = run_data(SCHEMA, table(again, **stamps))
    assert found.metrics["seen"] == stored(found)["seen"] == "keep"
    assert found.metrics["repeat_share"] > 0.4
    assert any("users come back to items" in notice for notice in found.metrics["notices"])
    found = run_data(SCHEMA, table(once, **stamps))
    assert found.metrics["seen"] == stored(found)["seen"] == "drop"
    assert found.metrics["repeat_share"] == stored(found)["held_out_repeat_share"] == 0
    assert not any("come back" in notice for notice in found.metrics.get("notices", []))
