"""What is known about a public data set: where it is, what it may be used for, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    Tables = dict[str, pa.Table]
    """``interactions``, ``users`` and ``items``; interactions in the order of time."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of the owner's.

    Args:
        name: as it is called on disk.
        url: where the owner offers it.
        checksum: ``sha256:...`` or ``md5:...`` of its bytes, as published; None if none is published.
        optional: not downloaded.
    """

    name: str
    url: str
    checksum: str | None = None
    optional: bool = False


@dataclass(frozen=True)
class PublicDataset:
    """A data set that can be fetched and converted.

    Args:
        name: on the command line.
        title: what it is, with its size.
        licence: what its owner allows, and what to cite; shown before anything is fetched.
        homepage: where to read on.
        files: all of its files; those that are ``optional`` are taken from disk and not downloaded here, because
            ``read`` fetches the data itself.
        read: file name -> path of the fetched file; gives the three tables.
        content: SHA-256 of the tables (see `content_digest`), where the files have no published checksum.
    """

    name: str
    title: str
    licence: str
    homepage: str
    files: tuple[RemoteFile, ...]
    read: Callable[[Mapping[str, Path]], Tables]
    content: str | None = None
