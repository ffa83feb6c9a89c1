"""Requests that were kept with the features that they saw: files of JSON lines in a folder that one user can read.

A user is a keyed hash; the key lies in the folder. Whoever has both the folder and a list of user ids can tell who is
meant, so the folder is as private as the log.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .inputs import MISSING

VARIABLE = "CASCADE_SKEW_SAMPLE"
"""Environment variable of the model processes with the settings; without it nothing is kept."""
_KEY, _ENDING = "key", ".jsonl"


@dataclass(frozen=True)
class SkewSettings:
    """What is kept, and where."""

    folder: str
    share: float
    """Of the users of all requests, from 0 to 1."""
    requests: int
    """Rows that are kept in all."""

    def environment(self) -> dict[str, str]:
        """The variable for model processes; none if nothing is to be kept."""
        return {VARIABLE: json.dumps(asdict(self))} if self.share > 0 else {}

    @classmethod
    def of_environment(cls) -> SkewSettings | None:
        """Those of this process; None if nothing is to be kept."""
        text = os.environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None


@dataclass(frozen=True)
class SkewRow:
    """One user of one request."""

    user: str
    """See `digest`."""
    at: float
    """When, seconds since 1970."""
    release: str
    raw: Mapping[str, list[Any]]
    """Column -> its values before the transforms, without padding; None for a missing one."""
    features: Mapping[str, list[Any]]
    """Feature -> its values."""


def skew_folder(repository: Path, model: str) -> Path:
    """The folder for a model of a repository."""
    return repository / model / ".skew"


def key_of(folder: Path) -> bytes:
    """The key of the folder's hashes. Folder and key are made if they are not there; nobody else can read them."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / _KEY
    if not file.is_file():
        aside = folder / f".{_KEY}.{os.getpid()}"
        _private(aside, secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was first
            os.link(aside, file)
        aside.unlink()
    return bytes.fromhex(file.read_text())


def digest(key: bytes, value: Any) -> str:
    """Hash of a raw user id, or of a number that tells it: 128 bits of HMAC-SHA256, hexadecimal."""
    return hmac.new(key, str(value).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def plain(column: NDArray[Any]) -> list[list[Any]]:
    """The values of each row of a column [B, L], None for missing ones, without those at the end."""
    rows = []
    for row in column.reshape(len(column), -1).tolist():
        values = [None if value is None or value == MISSING["int64"] or value != value else value for value in row]
        while values and values[-1] is None:
            values.pop()
        rows.append(values)
    return rows


def write_rows(folder: Path, rows: Sequence[SkewRow], most: int) -> None:
    """Add a file with ``rows``; the oldest files go that are not needed for ``most`` rows.

    Raises:
        OSError: it cannot be written.
    """
    name = f"{time.time_ns()}-{os.getpid()}-{len(rows)}{_ENDING}"
    aside = folder / f".{name}"
    _private(aside, "".join(json.dumps(asdict(row)) + "\n" for row in rows))
    aside.rename(folder / name)
    kept = 0
    for file in sorted(folder.glob(f"[0-9]*{_ENDING}"), reverse=True):
        if kept >= most:
            file.unlink(missing_ok=True)
        kept += int(file.stem.rpartition("-")[2])


def read_rows(folder: Path) -> Iterator[SkewRow]:
    """All rows, the oldest first; lines that cannot be read are left out."""
    for file in sorted(folder.glob(f"[0-9]*{_ENDING}")):
        with suppress(OSError):
            for line in file.read_text().splitlines():
                with suppress(ValueError, TypeError):
                    yield SkewRow(**json.loads(line))


def _private(file: Path, text: str) -> None:
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
        stream.write(text)
