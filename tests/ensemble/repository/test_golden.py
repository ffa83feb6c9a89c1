"""Golden answers: which requests are drawn, and that a file brings back what was recorded."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cascade.core.errors import ArtifactError
from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.graph.recorded_users import KNOWN, RecordedUsers, lookup_of, with_users
from cascade.ensemble.repository.golden import GOLDEN, Golden
from cascade.ensemble.repository.golden_requests import EXCLUDED, NONE, OTHER, UNKNOWN, draw_requests
from cascade.testing.miniature import ITEMS, USERS, miniature_repository

COUNT = 60
MISSING = np.iinfo(np.int64).min


@pytest.fixture(scope="module", params=[False, True], ids=["int64", "text"])
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Executor:
    folder = tmp_path_factory.mktemp("golden") / "models"
    miniature_repository(folder, string_ids=request.param)
    return Executor.load(folder / "cascade" / "1")


def ids_of(executor: Executor) -> list:
    text = executor.inputs[0].dtype == "object"
    return [f"u{user}" if text else user for user in range(100, 100 + USERS)]


def log(folder: Path, users: list, split: str = "test") -> Path:
    """Two positives of each user, at the hours 2 u and 2 u + 1, and one negative before them."""
    rows = [(user, 23, split, False) for user in users]
    rows += [(user, 2 * at + later, split, True) for later in (0, 1) for at, user in enumerate(users[:10])]
    columns = dict(zip(("user_id", "hour", "split", "positive"), zip(*rows, strict=True), strict=True))
    (folder / "interactions").mkdir(parents=True)
    pq.write_table(
        pa.table({name: [*values] for name, values in columns.items()}), folder / "interactions" / "0.parquet"
    )
    return folder


@pytest.fixture(scope="module")
def golden(executor: Executor, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    users = ids_of(executor)
    data = log(tmp_path_factory.mktemp("data"), users)
    return Golden.record(executor, draw_requests(data, np.array(users), executor.inputs, COUNT))


def test_requests_are_those_of_the_test_part_and_variants(executor, golden) -> None:
    users, hours = (golden.requests.columns[name][:, 0] for name in ("user_id", "hour"))
    known, first = ids_of(executor), dict(zip(ids_of(executor), range(0, 20, 2), strict=False))
    for user, hour, kind in zip(users.tolist(), hours.tolist(), golden.requests.kinds.tolist(), strict=True):
        assert (user in known) == (kind != UNKNOWN)
        if kind == NONE:
            assert hour == MISSING
        elif kind not in (OTHER, UNKNOWN):
            assert hour == first[user]
    other = golden.requests.kinds == OTHER
    assert (hours[other] != [first[user] for user in users[other].tolist()]).all()
    assert {1, 5, 6, 12} == {*golden.requests.columns["top_k"][:, 0].tolist()}
    assert not golden.requests.columns["temperature"].any()


def test_excluded_items_are_those_that_would_be_shown_first(golden) -> None:
    excluded = golden.requests.columns["exclude_items"]
    rows = golden.requests.kinds == EXCLUDED
    missing = {MISSING, None}
    for row, items, answer in zip(rows, excluded.tolist(), golden.recorded, strict=True):
        left_out = {*items} - missing
        assert bool(left_out) == bool(row)
        assert not left_out & {item.item_id for item in answer.items}


def test_a_log_without_a_test_part_is_drawn_from_as_a_whole(executor, tmp_path: Path) -> None:
    users = ids_of(executor)
    drawn = draw_requests(log(tmp_path, users, "train"), np.array(users), executor.inputs, 10)
    assert {*drawn.columns["user_id"][:, 0].tolist()} & {*users}


def test_a_file_brings_back_the_same_requests_and_answers(executor, golden, tmp_path: Path) -> None:
    golden.save(tmp_path / GOLDEN)
    again = Golden.load(tmp_path)
    assert again is not None and again.recorded == golden.recorded
    assert again.ask(executor) == golden.recorded
    for part, other in ((golden.users, again.users), (golden.requests.columns, again.requests.columns)):
        assert [*part] == [*other]
        for name, column in part.items():
            assert column.dtype == other[name].dtype
            np.testing.assert_array_equal(column, other[name])
    first = (tmp_path / GOLDEN).read_bytes()
    golden.save(tmp_path / GOLDEN)
    assert (tmp_path / GOLDEN).read_bytes() == first, "the same release must have the same file"


def test_answers_do_not_depend_on_what_a_store_holds_now(executor, golden) -> None:
    """Every user has other features by now."""
    lookup = lookup_of(executor)
    ids = np.array(ids_of(executor), executor.inputs[0].dtype)[:, None]
    now = lookup({"user_id": ids[::-1]})
    moved = with_users(executor, RecordedUsers(lookup, ids, now))
    unlike = lookup_of(moved)({"user_id": ids[:1]})["gender"] != lookup({"user_id": ids[:1]})["gender"]
    assert unlike.all() and golden.ask(moved) == golden.recorded


def test_unknown_users_are_recorded_as_unknown(golden) -> None:
    assert (golden.users[KNOWN][:, 0] == (golden.requests.kinds != UNKNOWN)).all()
    for kind, answer in zip(golden.requests.kinds, golden.recorded, strict=True):
        assert ("unknown_user" in answer.reasons) == (kind == UNKNOWN)
        assert 0 < len(answer.items) <= ITEMS


def test_a_release_without_the_file_has_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    assert Golden.load(tmp_path) is None
    (tmp_path / GOLDEN).write_bytes(b"PK")
    with pytest.raises(ArtifactError, match=r"golden\.npz: damaged"):
        Golden.load(tmp_path)
