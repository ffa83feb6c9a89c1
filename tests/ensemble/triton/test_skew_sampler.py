"""Requests that are kept with their features: what is kept, of whom, and who can read it."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from cascade.ensemble.graph.executor import Executor
from cascade.ensemble.protocol.skew_rows import (
    SkewRow,
    SkewSettings,
    code_digest,
    digest,
    key_of,
    plain,
    read_rows,
    write_rows,
)
from cascade.ensemble.triton.skew_sampler import PassSample, SkewSampler, rows_of
from cascade.testing.miniature import miniature_repository

NONE = np.iinfo(np.int64).min


@pytest.fixture(scope="module", params=[False, True], ids=["int64", "text"])
def executor(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Executor:
    folder = tmp_path_factory.mktemp("skew") / "models"
    miniature_repository(folder, string_ids=request.param)
    return Executor.load(folder / "cascade" / "1")


def ask(executor: Executor, sample: PassSample, count: int = 6) -> None:
    text = executor.inputs[0].dtype == "object"
    users = np.array([[f"u{100 + at}" if text else 100 + at] for at in range(count)], executor.inputs[0].dtype)
    columns = {"user_id": users, "hour": np.arange(count)[:, None]}
    executor.run_pass(executor.batcher.accept(columns), watch=sample)


def row(number: int) -> SkewRow:
    return SkewRow(f"{number:032x}", float(number), "abc", {"gender": ["F"]}, {"hour": [0.5]})


def test_users_whose_features_an_earlier_step_could_not_read_are_left_out():
    """As in an ensemble, where another process looks users up."""
    stale = np.array([[False], [True], [False]])
    sample, key = PassSample(np.array([0, 1]), {"features_stale": stale}), b"k"
    read = {"user_id": np.array([[7], [8], [9]]), "history_ids": np.zeros((3, 1), np.int64)}
    sample(read, {"history": np.zeros((3, 1), np.int64)})
    assert [row.user for row in rows_of(key, sample, "r")] == [digest(key, 7)]


def test_a_sample_has_what_the_transform_read_and_wrote(executor) -> None:
    sample, key = PassSample(np.array([1, 4]), {}), b"k"
    ask(executor, sample)
    rows = rows_of(key, sample, "abc")
    assert [one.raw["hour"] for one in rows] == [[1], [4]]
    assert [len(one.raw["history_ids"]) for one in rows] == [1, 4]  # user u has u % 6 of them
    assert [one.raw["gender"] for one in rows] == [["M"], ["F"]]
    assert {"gender", "hour", "history"} <= rows[0].features.keys() and "seen_rows" not in rows[0].features
    text = executor.inputs[0].dtype == "object"
    assert rows[0].user == digest(key, "u101" if text else 101) and rows[0].release == "abc"


def test_no_row_holds_a_user_id_or_its_code(executor) -> None:
    sample, key = PassSample(np.arange(6), {}), b"k"
    ask(executor, sample)
    codes = sample.features["user_id"][:, 0].tolist()
    for one, code in zip(rows_of(key, sample, "abc"), codes, strict=True):
        assert "user_id" not in one.raw and one.features["user_id"] == [code_digest(key, code)]
        assert f'"{sample.raw["user_id"][0, 0]}"' not in json.dumps(one.features)


def test_users_whose_features_could_not_be_read_are_left_out(executor) -> None:
    sample = PassSample(np.array([0, 3]), {})
    ask(executor, sample)
    sample.raw["features_stale"] = np.array([[True], [False]])
    assert [one.raw["hour"] for one in rows_of(b"k", sample, "abc")] == [[3]]


def test_plain_values_have_no_padding() -> None:
    assert plain(np.array([[3, NONE, 5, NONE], [NONE] * 4])) == [[3, None, 5], []]
    assert plain(np.array([[0.5, np.nan]])) == [[0.5]]
    assert plain(np.array([["a", None]], object)) == [["a"]]
    assert plain(np.array([[7, 0, 0]])) == [[7, 0, 0]]


def test_the_newest_rows_are_kept_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    for start in range(0, 50, 10):
        write_rows(tmp_path, [row(start + at) for at in range(10)], most=25)
    assert [int(one.at) for one in read_rows(tmp_path)] == [*range(20, 50)], "whole files, so that 25 are there"
    newest = max(tmp_path.glob("*.jsonl"))
    newest.write_text(newest.read_text()[:-20] + "\n{}\n")
    assert [int(one.at) for one in read_rows(tmp_path)] == [*range(20, 49)]


def test_nobody_else_can_read_them_and_the_key_stays(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    key = key_of(folder)
    assert key_of(folder) == key and len(key) == 32 and key_of(tmp_path / "other") != key
    write_rows(folder, [row(1)], most=100)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [*folder.iterdir()]
    assert len(files) == 2 and {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_what_is_offered_is_written_by_a_thread(executor, tmp_path: Path) -> None:
    sampler = SkewSampler(SkewSettings(str(tmp_path / "kept"), 1.0, 1000))
    sample = sampler.sample({}, 6)
    assert sample is not None and sample.rows.tolist() == [*range(6)]
    ask(executor, sample)
    sampler.offer(sample, "abc")
    sampler.stop()
    assert len([*read_rows(tmp_path / "kept")]) == 6


def test_a_full_queue_drops_and_never_waits(executor, tmp_path: Path) -> None:
    sampler = SkewSampler(SkewSettings(str(tmp_path / "kept"), 1.0, 1000))
    sampler.stop()  # nobody takes anything any more
    sample = PassSample(np.array([0]), {})
    for _ in range(1000):
        sampler.offer(sample, "abc")


def test_the_share_of_users_is_kept() -> None:
    settings = SkewSettings("unused", 0.25, 1000)
    sampler = SkewSampler(None)
    assert sampler.sample({}, 6) is None, "nothing is kept without settings"
    sampler._settings = settings
    taken = sum(len(found.rows) for _ in range(4000) if (found := sampler.sample({}, 5)))
    assert abs(taken - 5000) < 4 * (20_000 * 0.25 * 0.75) ** 0.5


def test_settings_reach_the_model_process_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SkewSettings("folder", 0.0, 100).environment() == {}
    assert SkewSettings.of_environment() is None
    settings = SkewSettings("folder", 0.5, 100)
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert SkewSettings.of_environment() == settings
