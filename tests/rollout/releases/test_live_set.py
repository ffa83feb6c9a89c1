"""The live set and its audit log: one change at a time, and they never contradict each other for good."""

import fcntl
import json
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cascade.core.errors import DiskError, ReleaseError
from cascade.rollout.releases import audit_log
from cascade.rollout.releases.live_set import Arm, LiveSet, LiveSets
from cascade.rollout.releases.writer_lock import LOCK


@pytest.fixture
def sets(repository: Path) -> LiveSets:
    return LiveSets(repository, "shop", wait_s=0.2)


def put(sets: LiveSets, stable: str, previous: str | None = None) -> LiveSet:
    return sets.change(lambda _: LiveSet(stable, previous), actor="anna@host pid 1", reason="why", action="promote")


def texts(sets: LiveSets) -> list[str]:
    return sets.log.file.read_text().splitlines()


def test_there_is_none_before_the_first_change(sets) -> None:
    assert sets.read() is None
    assert sets.history().lines == [] and sets.history().faults == []


def test_changes_are_counted_by_action_and_those_of_later_versions_together(sets) -> None:
    put(sets, "aaaa")
    put(sets, "bbbb")
    for action in ("taken back", "a new kind", "another"):
        sets.change(lambda live: live, actor="ben@host pid 2", reason="", action=action)
    counts = sets.history().counts
    assert {action: count for action, count in counts.items() if count} == {"promote": 2, "taken back": 1, "other": 2}
    assert counts["canary rolled back"] == 0


def test_a_change_is_read_back_and_logged(sets) -> None:
    first = put(sets, "aaaa")
    second = sets.change(
        lambda live: replace(live, stable="bbbb", previous=live.stable),
        actor="ben@host pid 2",
        reason="better",
        figures={"ndcg": 0.5},
    )
    assert sets.read() == second
    assert (second.stable, second.previous, second.generation) == ("bbbb", "aaaa", 2)
    assert second.salt == first.salt and len(bytes.fromhex(first.salt)) == 16
    lines = sets.history().lines
    assert [(line.generation, line.actor, line.action, line.reason) for line in lines] == [
        (1, "anna@host pid 1", "promote", "why"),
        (2, "ben@host pid 2", "change", "better"),
    ]
    assert lines[0].old is None and lines[0].new == lines[1].old
    assert lines[1].new == {"generation": 2, "stable": "bbbb", "previous": "aaaa"}
    assert lines[1].figures == {"ndcg": 0.5}
    assert lines[1].time.endswith("+00:00")


def test_arms_and_shadows_are_read_back_and_logged(sets) -> None:
    put(sets, "aaaa")
    canary, shadow = Arm("canary", "bbbb", 0.05), Arm("shadow", "cccc", 0.1)
    live = sets.change(lambda live: replace(live, arms=(canary,), shadows=(shadow,)), actor="x", reason="try it")
    assert sets.read() == live and live.canary == canary
    assert live.releases == {"aaaa", "bbbb", "cccc"}
    assert sets.history().lines[-1].new["arms"] == [{"name": "canary", "release": "bbbb", "share": 0.05}]


def test_the_salt_stays_while_the_arms_are_the_same(sets) -> None:
    """Users keep their arms when a share grows or a test ends, and other arms draw anew."""

    def with_arms(*arms: Arm) -> str:
        return sets.change(lambda live: replace(live, arms=arms), actor="x", reason="").salt

    put(sets, "aaaa")
    first = with_arms(Arm("b", "bbbb", 0.1), Arm("c", "cccc", 0.1))
    assert with_arms(Arm("b", "bbbb", 0.3), Arm("c", "cccc", 0.0)) == first
    assert with_arms() == first
    second = with_arms(Arm("b", "bbbb", 0.1), Arm("c", "cccc", 0.1))
    assert len({first, second, with_arms(Arm("c", "cccc", 0.1), Arm("b", "bbbb", 0.1))}) == 3


def test_two_models_have_salts_of_their_own(repository) -> None:
    assert put(LiveSets(repository, "shop"), "a").salt != put(LiveSets(repository, "other"), "a").salt


def test_a_change_that_fails_changes_nothing(sets) -> None:
    put(sets, "aaaa")
    before = sets.read(), texts(sets)

    def fail(live: LiveSet | None) -> LiveSet:
        raise ReleaseError("no such release")

    with pytest.raises(ReleaseError, match="no such release"):
        sets.change(fail, actor="x", reason="")
    assert (sets.read(), texts(sets)) == before


def test_it_can_be_taken_away_again(sets) -> None:
    put(sets, "aaaa")
    sets.clear(actor="x", reason="never was loaded")
    assert sets.read() is None and sets.history().faults == []
    assert put(sets, "bbbb").generation == 3
    assert [line.generation for line in sets.history().lines] == [1, 2, 3]


WRONG = (
    '"other": []',
    '"arms": 7',
    '"arms": ["canary"]',
    '"shadows": {"name": "s"}',
    *(
        f'"{kind}": [{{"name": {name}, "release": {release}, "share": {share}}}]'
        for kind, name, release, share in (
            ("arms", '""', '"b"', 0.1),
            ("arms", "7", '"b"', 0.1),
            ("arms", '"canary"', "null", 0.1),
            ("arms", '"canary"', '"b"', 1.1),
            ("arms", '"canary"', '"b"', "true"),
            ("shadows", '"shadow"', '"b"', '"0.1"'),
            ("shadows", '"shadow"', '"b"', -0.1),
        )
    ),
    '"arms": [{"name": "a", "release": "b", "share": 0.1}, {"name": "a", "release": "c", "share": 0.1}]',
)
"""Fields that make the JSON of a live set wrong."""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"stable": "a"}',
        '{"stable": 7, "previous": null, "generation": 1, "salt": "s", "audit": "x"}',
        '{"stable": "a", "previous": null, "generation": 0, "salt": "s", "audit": "x"}',
        '{"stable": "a", "previous": null, "generation": "1", "salt": "s", "audit": "x"}',
        *(f'{{"stable": "a", "previous": null, "generation": 1, "salt": "s", "audit": "x", {each}}}' for each in WRONG),
        b"\xff\xfe",
    ],
)
def test_a_damaged_file_is_named_and_stays(sets, text) -> None:
    put(sets, "aaaa")
    data = text if isinstance(text, bytes) else text.encode()
    sets.file.write_bytes(data)
    for use in (sets.read, sets.history, lambda: put(sets, "bbbb")):
        if use == sets.history:
            assert any("live.json: damaged" in fault for fault in sets.history().faults)
            continue
        with pytest.raises(ReleaseError, match="live.json: damaged"):
            use()
    assert sets.file.read_bytes() == data and len(texts(sets)) == 1


def damaged_logs() -> dict[str, object]:
    """Name -> what becomes of the lines of a log."""
    edited = ("reason", "actor", "from", "to", "figures", "time", "generation", "hash_before")

    def edit(at: int, key: str):
        def change(lines: list[str]) -> list[str]:
            line = json.loads(lines[at])
            line[key] = 99 if key == "generation" else "edited"
            return [*lines[:at], json.dumps(line), *lines[at + 1 :]]

        return change

    found = {f"edit {key} of line {at}": edit(at, key) for key in edited for at in range(4)}
    found |= {f"delete line {at}": lambda lines, at=at: lines[:at] + lines[at + 1 :] for at in range(4)}
    found |= {f"cut line {at}": lambda lines, at=at: [*lines[:at], lines[at][:20], *lines[at + 1 :]] for at in range(4)}
    found["exchange"] = lambda lines: [lines[0], lines[2], lines[1], lines[3]]
    found["repeat"] = lambda lines: [*lines, lines[3]]
    found["add"] = lambda lines: [*lines, "{}"]
    found["empty"] = lambda lines: []
    return found


@pytest.mark.parametrize("change", damaged_logs().values(), ids=damaged_logs())
def test_a_log_that_was_changed_is_found_and_refused(sets, change) -> None:
    for release in "abcd":
        put(sets, release)
    sets.log.file.write_text("".join(f"{line}\n" for line in change(texts(sets))))
    before = sets.log.file.read_bytes(), sets.file.read_bytes()
    assert sets.history().faults
    with pytest.raises(ReleaseError, match=r"audit\.jsonl"):
        put(sets, "e")
    assert (sets.log.file.read_bytes(), sets.file.read_bytes()) == before


@pytest.mark.parametrize("left", [1, 2, 30])
def test_a_last_line_that_was_cut_off_is_found(sets, left) -> None:
    """By one byte it lacks its newline only."""
    put(sets, "a")
    put(sets, "b")
    data = sets.log.file.read_bytes()
    sets.log.file.write_bytes(data[:-left])
    assert sets.history().faults
    with pytest.raises(ReleaseError):
        put(sets, "c")


@pytest.mark.parametrize("rest", [b"{", b'{"time": "2026-', b"\0" * 300])
def test_a_line_that_a_process_did_not_finish_goes_at_the_next_change(sets, rest) -> None:
    put(sets, "a")
    whole = sets.log.file.read_bytes()
    sets.log.file.write_bytes(whole + rest)
    assert sets.read().stable == "a" and sets.history().faults == [] and sets.history().unfinished
    assert put(sets, "b").generation == 2
    assert sets.log.file.read_bytes().startswith(whole + b'{"time"') and not sets.history().unfinished


def test_a_live_set_that_was_deleted_or_put_back_is_found(sets) -> None:
    put(sets, "a")
    old = sets.file.read_bytes()
    put(sets, "b")
    put(sets, "c")
    sets.file.write_bytes(old)
    with pytest.raises(ReleaseError, match="is of generation 1, audit.jsonl ends with generation 3"):
        put(sets, "d")
    sets.file.unlink()
    with pytest.raises(ReleaseError, match="is missing, audit.jsonl ends with generation 3"):
        put(sets, "d")
    sets.log.file.unlink()
    assert put(sets, "d").generation == 1, "both moved aside: a new beginning"


def test_a_live_set_that_was_to_be_taken_away_stays_if_the_process_ended(sets) -> None:
    put(sets, "a")
    live = sets.file.read_bytes()
    sets.clear(actor="x", reason="")
    sets.file.write_bytes(live)  # as if it had ended just before it removed the file
    assert sets.history().faults == []
    put(sets, "b", "a")
    lines = sets.history().lines
    assert [line.action for line in lines] == ["promote", "clear", "interrupted", "promote"]
    assert [line.old for line in lines[1:]] == [line.new for line in lines[:-1]]


def test_a_user_who_cannot_write_is_told_so(sets, monkeypatch) -> None:
    put(sets, "a")
    before = sets.log.file.read_bytes()

    def refuse(line: object, end: int) -> None:
        raise PermissionError(13, "Permission denied", str(sets.log.file))

    monkeypatch.setattr(sets.log, "append", refuse)
    with pytest.raises(ReleaseError, match=r"audit.jsonl: this user cannot write it"):
        put(sets, "b")
    assert sets.read().stable == "a" and sets.log.file.read_bytes() == before


def test_a_second_writer_waits_and_is_told_who_writes(sets, repository) -> None:
    put(sets, "a")
    code = f"""
        import time
        from pathlib import Path
        from cascade.rollout.releases.writer_lock import only_writer
        with only_writer(Path({str(sets.folder)!r}), 5):
            print("in", flush=True)
            time.sleep(60)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "in\n"
        with pytest.raises(ReleaseError, match=rf"@\S+ pid {holder.pid} is changing the releases"):
            put(sets, "b")
        holder.kill()
    assert put(sets, "b").generation == 2, "the lock ends with its process"


def test_a_short_change_is_waited_for(repository) -> None:
    sets = LiveSets(repository, "shop", wait_s=30)
    put(sets, "a")
    with ThreadPoolExecutor(1) as pool, (sets.folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = pool.submit(put, sets, "b")
        time.sleep(0.2)
        assert not waiting.done()
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.result().generation == 2


@pytest.mark.parametrize("where", ["live set", "log"])
def test_a_full_disk_changes_nothing(sets, monkeypatch, where) -> None:
    put(sets, "a")
    before = sets.read(), sets.log.file.read_bytes(), sorted(sets.folder.iterdir())
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == (1 if where == "live set" else 2):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(audit_log.os, "fsync", full)
    with pytest.raises(DiskError):
        put(sets, "b")
    assert (sets.read(), sets.log.file.read_bytes(), sorted(sets.folder.iterdir())) == before


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=6))
def test_generations_grow_by_one_and_each_has_a_line(tmp_path_factory, wanted) -> None:
    sets = LiveSets(tmp_path_factory.mktemp("models"), "shop")
    for number, stable in enumerate(wanted, start=1):
        assert put(sets, stable).generation == number
        assert sets.read().stable == stable
    history = sets.history()
    assert history.faults == [] and [line.new["stable"] for line in history.lines] == wanted


WRITER = """
import os, signal, sys
from pathlib import Path
from cascade.rollout.releases.live_set import LiveSet, LiveSets

sets, calls, die_at = LiveSets(Path(sys.argv[1]), "shop", wait_s=60), 0, int(sys.argv[3])

def count(event, arguments):
    # What touches the folder, as the interpreter announces it just before.
    global calls
    if event in ("open", "os.rename", "os.remove", "os.truncate", "fcntl.flock") and ".releases" in str(arguments):
        die()

def die():
    global calls
    calls += 1
    if calls == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

sync = os.fsync
def fsync(handle):
    die()
    sync(handle)
    die()
os.fsync = fsync
sys.addaudithook(count)
for release in sys.argv[2]:
    live = sets.change(lambda _: LiveSet(release), actor="writer", reason="")
    print(live.generation, flush=True)
print("calls", calls, flush=True)
"""


def write(sets: LiveSets, releases: str, die_at: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WRITER, str(sets.folder.parent.parent), releases, str(die_at)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False], ids=["first change", "later change"])
def test_killed_at_any_point_it_is_readable_and_the_next_change_heals_it(tmp_path, first) -> None:
    done = write(LiveSets(tmp_path / "counted", "shop"), "a" if first else "ab")
    points = int(done.stdout.split()[-1])
    assert points >= 10, done.stderr
    begin = 1
    if not first:
        begin = 1 + int(write(LiveSets(tmp_path / "one", "shop"), "a").stdout.split()[-1])
    healed = 0
    for die_at in range(begin, points + 1):
        sets = LiveSets(tmp_path / str(die_at), "shop")
        killed = write(sets, "a" if first else "ab", die_at)
        assert killed.returncode == -signal.SIGKILL
        live = sets.read()
        assert (live.stable if live else None) in ((None, "a") if first else ("a", "b"))
        assert sets.history().faults == [], "not even in between"
        wanted = put(sets, "c")
        assert sets.read() == wanted and wanted.stable == "c"
        history = sets.history()
        assert history.faults == [] and not history.unfinished
        assert [line.generation for line in history.lines] == list(range(1, wanted.generation + 1))
        assert history.lines[-1].new == wanted.shown
        assert history.lines[-1].old == (history.lines[-2].new if len(history.lines) > 1 else None)
        healed += any(line.action == "interrupted" for line in history.lines)
        assert not list(sets.folder.glob(".live.json.*"))
    assert healed >= 2


@pytest.mark.slow
def test_a_kill_while_healing_is_healed(tmp_path) -> None:
    points = int(write(LiveSets(tmp_path / "counted", "shop"), "ab").stdout.split()[-1])
    sets = LiveSets(tmp_path / "again", "shop")
    put(sets, "a")
    for die_at in [*range(1, points), 0]:  # again and again, each time a little later
        write(sets, "b", die_at)
        assert sets.read() and sets.history().faults == []
    assert sets.read().stable == "b"
    lines = sets.history().lines
    assert [line.generation for line in lines] == list(range(1, len(lines) + 1))
    assert any(line.action == "interrupted" for line in lines)


@pytest.mark.slow
def test_several_processes_change_one_after_the_other(tmp_path) -> None:
    sets = LiveSets(tmp_path, "shop")
    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(lambda releases: write(sets, releases), ["abcde", "fghij", "klmno"]))
    given_out = [[int(number) for number in each.stdout.split()[:-2]] for each in done]
    assert all(numbers == sorted(numbers) for numbers in given_out)
    assert sorted(number for numbers in given_out for number in numbers) == list(range(1, 16))
    lines = sets.history().lines
    assert sets.history().faults == [] and [line.generation for line in lines] == list(range(1, 16))
    assert sorted(line.new["stable"] for line in lines) == list("abcdefghijklmno")
    assert [line.old for line in lines[1:]] == [line.new for line in lines[:-1]]


@pytest.mark.parametrize(
    "change", [{"stable": "bbbb"}, {"previous": None}, {"generation": 7}, {"arms": ()}, {"shadows": ()}]
)
def test_an_edited_live_set_is_refused_and_named(sets, change) -> None:
    """Somebody's edit must neither answer users nor get into the log as if it had been a decision."""
    put(sets, "aaaa")
    asked = (Arm("b", "cccc", 0.1),)
    sets.change(lambda live: replace(live, previous="zzzz", arms=asked, shadows=asked), actor="x", reason="")
    assert sets.checked() == sets.read()
    sets.file.write_text(json.dumps({**json.loads(sets.file.read_text()), **change}))
    assert any("live.json: differs from its line" in fault for fault in sets.history().faults)
    for use in (sets.checked, lambda: put(sets, "dddd")):
        with pytest.raises(ReleaseError, match="live.json: differs from its line"):
            use()
    assert sets.log.read().lines[-1].reason == ""


def test_another_stable_release_ends_arms_and_its_own_shadow(sets) -> None:
    """Whoever makes it: a promotion, a rollback, a reload, or the server itself."""
    live = LiveSet("a", "old", arms=(Arm("canary", "b", 0.1),), shadows=(Arm("one", "b", 0.1), Arm("two", "c", 0.1)))
    after = live.with_stable("b")
    assert (after.stable, after.previous, after.arms) == ("b", "a", ())
    assert after.shadows == (Arm("two", "c", 0.1),)
