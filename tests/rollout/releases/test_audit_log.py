"""An audit log that is read again and again says what one says that is read for the first time."""

import json

from hypothesis import given
from hypothesis import strategies as st

from cascade.rollout.releases.audit_log import AuditHistory, AuditLine, AuditLog

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(["promote", "rollback"])),
        st.tuples(st.just("cut"), st.integers(1, 400)),
        st.tuples(st.just("edit"), st.integers(0, 1000)),
        st.tuples(st.just("garbage"), st.sampled_from([b"\n", b"{}\n", b"half a line"])),
    ),
    max_size=12,
)


def appended(log: AuditLog, action: str) -> None:
    found = log.read()
    before = found.hashes[-1] if found.hashes else ""
    line = AuditLine("tests", action, None, {"stable": "a"}, len(found.lines) + 1, "why", hash_before=before)
    log.append(line, found.end)


@given(changes=CHANGES)
def test_what_was_read_before_changes_nothing(changes, tmp_path_factory):
    log = AuditLog(tmp_path_factory.mktemp("log") / "audit.jsonl")
    for kind, value in changes:
        data = log.file.read_bytes() if log.file.exists() else b""
        if kind == "append":
            appended(log, value)
        elif kind == "cut":
            log.file.write_bytes(data[: max(0, len(data) - value)])
        elif kind == "garbage":
            log.file.write_bytes(data + value)
        elif data:
            at = value % len(data)
            log.file.write_bytes(data[:at] + (b"#" if data[at : at + 1] != b"#" else b"%") + data[at + 1 :])
        assert log.read() == AuditLog(log.file).read()


def test_an_edited_line_is_named_though_it_was_read_before(tmp_path):
    log = AuditLog(tmp_path / "audit.jsonl")
    for action in ("promote", "promote", "rollback"):
        appended(log, action)
    assert log.read().faults == []
    lines = log.file.read_text().splitlines()
    lines[1] = json.dumps(json.loads(lines[1]) | {"reason": "another"})
    log.file.write_text("\n".join(lines) + "\n")
    [fault] = log.read().faults
    assert "line 3: does not follow" in fault


def test_no_file(tmp_path):
    assert AuditLog(tmp_path / "audit.jsonl").read() == AuditHistory([], [], [], 0, False)
