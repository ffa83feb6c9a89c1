"""The audit log: one line of JSON for each change of the live set. Each line holds the hash of the line before."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_KEYS = ("time", "actor", "action", "from", "to", "generation", "reason", "figures", "hash_before")


@dataclass(frozen=True)
class AuditLine:
    """One change."""

    actor: str
    """Who made it: ``user@host pid N``, or the part of `cascade` that decided it."""
    action: str
    """What was done, e.g. ``promote``."""
    old: Mapping[str, Any] | None
    """The live set before; None if there was none."""
    new: Mapping[str, Any] | None
    """The live set from then on."""
    generation: int
    """Number of the change, from 1."""
    reason: str
    figures: Mapping[str, Any] | None = None
    """What was measured for the decision."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """UTC, ISO 8601."""
    hash_before: str = ""
    """SHA-256 (hex) of the line before; empty for the first."""

    def to_json(self) -> dict[str, Any]:
        """The line as the file has it."""
        values = (self.time, self.actor, self.action, self.old, self.new, self.generation)
        return dict(zip(_KEYS, (*values, self.reason, self.figures, self.hash_before), strict=True))

    def text(self) -> str:
        """The line in the file, without the newline."""
        return json.dumps(self.to_json())

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of ``text``."""
        return _sha256(self.text().encode())

    @classmethod
    def of(cls, text: bytes) -> AuditLine:
        """The inverse of ``text``.

        Raises:
            ValueError: it is no such line.
        """
        raw: dict[str, Any] = json.loads(text)
        if not isinstance(raw, dict) or tuple(raw) != _KEYS or not isinstance(raw["generation"], int):
            raise ValueError(f"expected the keys {', '.join(_KEYS)}")
        old, new = raw.pop("from"), raw.pop("to")
        return cls(old=old, new=new, **raw)


@dataclass(frozen=True)
class AuditHistory:
    """What an audit log holds."""

    lines: Sequence[AuditLine]
    """Those that can be read, oldest first."""
    hashes: Sequence[str]
    """SHA-256 (hex) of each of them."""
    faults: Sequence[str]
    """Where lines were changed, removed or cut off, in words; empty if each line follows from the one before."""
    end: int
    """Where the last whole line ends, bytes from the start."""
    unfinished: bool
    """Whether the file goes on after it: a process ended while it wrote, or somebody cut the last line off."""


_NOTHING: tuple[bytes, AuditHistory, tuple[str, int]] = b"", AuditHistory([], [], [], 0, False), ("", 0)
"""Whole lines, what they say, and the hash and the generation that the next line has to follow from."""


class AuditLog:
    """The log in ``file``. Only the holder of the lock of `writer_lock` may add to it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._parsed = _NOTHING

    def read(self) -> AuditHistory:
        """All lines, and whether the chain of their hashes is whole.

        What the same object has read before, byte by byte, is not parsed again: a server looks at each change.
        """
        data = self.file.read_bytes() if self.file.exists() else b""
        parsed, known, before = self._parsed if data.startswith(self._parsed[0]) else _NOTHING
        lines, hashes, faults = [*known.lines], [*known.hashes], [*known.faults]
        *whole, rest = data[len(parsed) :].split(b"\n")
        for number, text in enumerate(whole, start=parsed.count(b"\n") + 1):
            own = _sha256(text)
            try:
                line = AuditLine.of(text)
            except ValueError as error:
                faults.append(f"{self.file}: line {number}: is no line of an audit log ({error})")
                before = (own, before[1] + 1)
                continue
            if (line.hash_before, line.generation) != (before[0], before[1] + 1):
                faults.append(
                    f"{self.file}: line {number}: does not follow from the line before: one was changed or removed"
                )
            lines.append(line)
            hashes.append(own)
            before = (own, line.generation)
        found = AuditHistory(lines, hashes, faults, len(data) - len(rest), bool(rest))
        self._parsed = data[: found.end], found, before
        return found

    def append(self, line: AuditLine, end: int) -> None:
        """Add a line and have the disk keep it. If that fails, the file is as it was.

        Args:
            end: where the last whole line ends, see `AuditHistory`; what an ended process has left behind it goes.
        """
        with self.file.open("ab") as stream:
            stream.truncate(end)
            try:
                stream.write(line.text().encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            except BaseException:
                os.ftruncate(stream.fileno(), end)
                raise
        sync_folder(self.file.parent)


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def sync_folder(folder: Path) -> None:
    """Have the disk keep the names of the files in a folder, see fsync(2)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
