"""Events are kept once, with the arm of their user at their time, whatever the files they come in."""

import itertools
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcome_events import event, write

from cascade.core.errors import DataError, ReleaseError
from cascade.ensemble.protocol.assignment import Assignment
from cascade.rollout.outcomes import event_file
from cascade.rollout.outcomes.event_log import FOLDER, EventLog
from cascade.rollout.outcomes.windows import Window
from cascade.rollout.releases.live_set import Arm, LiveSets

START = 1_790_000_000
"""Seconds since 1970."""
ARMS = (Arm("canary", "c", 0.3),)
WINDOWS = [
    Window(START * 10**6, (START + 100) * 10**6, 1, "s", (), ""),
    Window((START + 100) * 10**6, (START + 200) * 10**6, 2, "s", ARMS, "salt"),
    Window((START + 200) * 10**6, None, 4, "s", (Arm("canary", "c", 0.6),), "salt"),
]
ALL = ("user", "time", "event", "value", "id", "generation", "arm")


@pytest.fixture(autouse=True)
def history(monkeypatch) -> None:
    """The audit log says `WINDOWS`."""
    monkeypatch.setattr(EventLog, "_windows", lambda self: WINDOWS)


def kept(log: EventLog) -> list[tuple[Any, ...]]:
    """All events in an order that does not depend on that of the files."""
    rows = [tuple(row.values()) for row in log.read(ALL).to_pylist()]
    return sorted(tuple(-1.0 if value != value else value for value in row) for row in rows)


def test_the_arm_is_that_of_the_time_of_the_event(log, tmp_path) -> None:
    users = [f"user {number}" for number in range(300)]
    times = (-1, 0, 99, 100, 199.5, 200, 5000)
    events = [event(user, START + at) for user in users for at in times]
    assert log.ingest(write(tmp_path / "e.jsonl", events)).in_arms == 4 * 300
    table = log.read(("generation", "arm"))
    generation = table["generation"].to_numpy().reshape(300, 7)
    arm = table["arm"].to_numpy().reshape(300, 7)
    assert (generation == [0, 0, 0, 2, 2, 4, 4]).all()
    small, large = (Assignment("salt", [("canary", share)]).arms(np.array(users)) for share in (0.3, 0.6))
    assert 50 < small.sum() < 130 < large.sum() < 220
    assert (arm == np.stack([0 * small, 0 * small, 0 * small, small, small, large, large], axis=1)).all()


def test_an_integer_and_its_text_are_one_user(log, tmp_path) -> None:
    log.ingest(write(tmp_path / "e.jsonl", [event(5, START), event("5", START)]))
    assert len(set(log.read(("user",))["user"].to_pylist())) == 1


def test_no_raw_id_is_kept_and_the_digest_has_a_key_of_its_model(log, tmp_path) -> None:
    file = write(tmp_path / "e.jsonl", [event("somebody@example.com", START, event_id="order 4711")])
    log.ingest(file)
    data = b"".join(each.read_bytes() for each in log.folder.iterdir())
    assert b"somebody" not in data and b"4711" not in data
    (tmp_path / "more" / "shop").mkdir(parents=True)
    other = EventLog(LiveSets(tmp_path / "more", "shop"))
    other.ingest(file)
    assert [row[0] for row in kept(log)] != [row[0] for row in kept(other)]
    assert (log.folder / "key").stat().st_mode & 0o777 == 0o600


def test_the_same_file_counts_once(log, tmp_path) -> None:
    file = write(tmp_path / "e.jsonl", [event("a", START), event("a", START)])
    assert (log.ingest(file).events, log.ingest(file).known) == (2, True)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(file.read_bytes())
    assert log.ingest(copy).known
    assert len(kept(log)) == 2  # two clicks without an id are two


def test_nothing_of_a_file_with_a_bad_row_is_kept(log, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(event_file, "BATCH_ROWS", 2)
    good = [event("a", START)] * 5
    for events in ([event("a", "x")], [*good, event("a", "x")]):
        with pytest.raises(DataError, match=f"row {len(events)}"):
            log.ingest(write(tmp_path / "e.jsonl", events))
        assert kept(log) == [] and not list(log.folder.glob("*.new"))
    log.ingest(write(tmp_path / "e.jsonl", good))
    assert len(kept(log)) == 5


def test_what_a_killed_process_left_is_removed(log, tmp_path) -> None:
    log.ingest(write(tmp_path / "e.jsonl", [event("a", START)]))
    (log.folder / "half.new").write_text("half")
    log.ingest(write(tmp_path / "f.jsonl", [event("b", START)]))
    assert not (log.folder / "half.new").exists() and len(kept(log)) == 2


def test_the_store_of_releases_does_not_take_the_events_for_a_release(log, store, tmp_path) -> None:
    log.ingest(write(tmp_path / "e.jsonl", [event("a", START)]))
    assert store.place / FOLDER == log.folder and store.releases() == [] and store.prune(1) == []
    assert len(kept(log)) == 1


def test_progress_ends_at_all_of_the_file(log, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(event_file, "BATCH_ROWS", 2)
    told: list[float] = []
    log.ingest(write(tmp_path / "e.jsonl", [event("a", START)] * 7), told.append)
    assert told == sorted(told) and len(told) == 4 and told[-1] == 1.0


EVENTS = st.builds(
    event,
    st.sampled_from(["a", "b", "c", 4, 5]),
    st.integers(START - 50, START + 300),
    st.sampled_from(["impression", "click", "conversion"]),
    value=st.sampled_from([None, 1.0, 2.5]),
)


@settings(max_examples=40)
@given(st.data())
def test_any_split_order_and_repetition_keep_the_same_events(data) -> None:
    events = data.draw(st.lists(EVENTS, min_size=1, max_size=12))
    events = [{**each, "event_id": f"id {number}"} for number, each in enumerate(events)]
    again = data.draw(st.lists(st.sampled_from(events), max_size=6))
    shuffled = data.draw(st.permutations([*events, *again]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(shuffled)), max_size=4)) | {len(shuffled)})
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = (_log(Path(folder), name) for name in ("whole", "parts"))
        (parts.folder / "key").write_text(whole._key())
        whole.ingest(write(Path(folder) / "whole.jsonl", events))
        for first, last in itertools.pairwise([0, *cuts]):
            parts.ingest(write(Path(folder) / f"{first}.jsonl", shuffled[first:last]))
        assert kept(whole) == kept(parts) and len(kept(whole)) == len(events)


@settings(max_examples=20)
@given(st.lists(EVENTS, min_size=1, max_size=12), st.integers(1, 5))
def test_events_without_ids_are_the_same_in_any_split(events: list[dict[str, Any]], size: int) -> None:
    events = [{**each, "user_id": f"{each['user_id']} {number}"} for number, each in enumerate(events)]
    with tempfile.TemporaryDirectory() as folder:
        whole, parts = (_log(Path(folder), name) for name in ("whole", "parts"))
        (parts.folder / "key").write_text(whole._key())
        whole.ingest(write(Path(folder) / "whole.jsonl", events))
        for first in range(0, len(events), size):
            file = write(Path(folder) / f"{first}.jsonl", events[first : first + size])
            parts.ingest(file)
            parts.ingest(file)
        assert kept(whole) == kept(parts)


def _log(folder: Path, name: str) -> EventLog:
    log = EventLog(LiveSets(folder, name))
    log.folder.mkdir(parents=True)
    return log


def test_of_one_id_with_two_contents_the_first_in_time_counts_in_any_order(log, tmp_path) -> None:
    late, early = event("a", START + 9, value=1.0, event_id="x"), event("a", START, value=2.0, event_id="x")
    log.ingest(write(tmp_path / "e.jsonl", [late]))
    log.ingest(write(tmp_path / "f.jsonl", [early]))
    assert log.read(("value",))["value"].to_pylist() == [2.0]


def test_events_of_two_kinds_may_have_one_id(log, tmp_path) -> None:
    """That of the request: an impression and its click."""
    both = [event("a", START, "impression", event_id="r1"), event("a", START + 1, "click", event_id="r1")]
    log.ingest(write(tmp_path / "e.jsonl", [*both, *both]))
    assert sorted(log.read(("event",))["event"].to_pylist()) == ["click", "impression"]


def test_where_a_kind_ends_and_an_id_begins_is_told_apart(log, tmp_path) -> None:
    both = [event("a", START, "click a", event_id="q"), event("a", START + 1, "click", event_id="a q")]
    log.ingest(write(tmp_path / "e.jsonl", both))
    assert len(log.read(("event",))) == 2


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["x", "y", None])), min_size=1, max_size=8),
    st.integers(0, 20),
)
def test_a_filter_finds_what_counts_without_it(events: list[tuple[int, str | None]], since: int) -> None:
    """An id that counted in an earlier window does not count again in a later one."""
    with tempfile.TemporaryDirectory() as folder:
        log = _log(Path(folder), "log")
        rows = [event("a", START + at, event_id=name) for at, name in events]
        log.ingest(write(Path(folder) / "e.jsonl", rows))
        least = (START + since) * 10**6
        whole = log.read(("time",))["time"].to_pylist()
        assert sorted(log.read(("time",), ds.field("time") >= least)["time"].to_pylist()) == sorted(
            time for time in whole if time >= least
        )


def test_a_damaged_audit_log_is_refused(sets, tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    sets.folder.mkdir(parents=True)
    sets.log.file.write_text("no line\n")
    with pytest.raises(ReleaseError, match="without it, nobody's arm can be told"):
        EventLog(sets).ingest(write(tmp_path / "e.jsonl", [event("a", time.time())]))
