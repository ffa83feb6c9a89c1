"""Fetch a public data set, check it and write its three tables."""

from __future__ import annotations

import hashlib
import json
import shutil
import tarfile
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.artifact import replace_folder, unfinished_path
from ...core.errors import ConfigError, DataError
from ..sources.cache import cached, download
from .dataset import PublicDataset, RemoteFile

if TYPE_CHECKING:
    import pyarrow as pa

    from .dataset import Tables

WAIT_SECONDS = 30.0
"""For a single answer of the owner's server."""
SOURCE = "SOURCE.json"
"""Says where the tables came from."""
WRITTEN = {"interactions.parquet", "users.parquet", "items.parquet", SOURCE}


def fetch(
    dataset: PublicDataset,
    out: Path,
    archives: Sequence[Path] = (),
    since: datetime | None = None,
    before: datetime | None = None,
) -> dict[str, int]:
    """Write ``interactions.parquet``, ``users.parquet``, ``items.parquet`` and ``SOURCE.json`` into ``out``.

    The folder appears when it is complete. One that an earlier fetch wrote is replaced, any other is refused.

    Args:
        archives: files of the owner's that are on disk already, by their own names; the others are downloaded.
        since: leave out interactions before this time (UTC).
        before: leave out interactions from this time on (UTC).

    Returns:
        table -> its number of rows.

    Raises:
        ConfigError: an archive is not one of the data set's, or ``out`` holds something else.
        DataError: a file cannot be had, or is not what its owner published.
    """
    check_arguments(out, since, before)
    files = collect(dataset, archives)
    try:
        tables = dataset.read(files)
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        named = ", ".join(map(str, files.values()))
        raise DataError(f"{named}: not what {dataset.title} holds ({type(error).__name__}: {error})") from error
    if dataset.content is not None and (found := content_digest(tables)) != dataset.content:
        raise DataError(
            f"{dataset.name}: the tables have the digest {found}, expected {dataset.content}: the owner's files have "
            "changed, or are damaged; delete them from the cache, or name a good copy with --archive"
        )
    tables["interactions"] = between(tables["interactions"], since, before)
    rows = {name: table.num_rows for name, table in tables.items()}
    aside = unfinished_path(out)
    aside.mkdir(parents=True)
    try:
        write(aside, dataset, tables, rows)
        replace_folder(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return rows


def check_arguments(out: Path, since: datetime | None, before: datetime | None) -> None:
    """Refuse, before anything is downloaded, a period that is empty and a folder that holds something else."""
    if since and before and since >= before:
        raise ConfigError(
            f"--since {since:%Y-%m-%dT%H:%M:%S}: must be earlier than --before {before:%Y-%m-%dT%H:%M:%S}"
        )
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; name a folder")
    others = sorted({file.name for file in out.iterdir()} - WRITTEN) if out.is_dir() else []
    if others:
        raise ConfigError(
            f"--out {out}: holds {others[0]}, which `cascade data fetch` did not write; name another folder"
        )
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be made: {error.strerror}") from None


def collect(dataset: PublicDataset, archives: Sequence[Path]) -> dict[str, Path]:
    """The data set's files by name, each with its checksum verified: those given, the others downloaded."""
    given = {path.name: path for path in archives}
    known = [file.name for file in dataset.files]
    for name, path in given.items():
        if not path.is_file():
            raise ConfigError(f"--archive {path}: no such file")
        if name not in known:
            raise ConfigError(
                f"--archive {path}: {dataset.name} has the files {', '.join(known)}; rename it if it is one"
            )
    found = dict(given)
    for file in dataset.files:
        if file.name not in given and not file.optional:
            found[file.name] = _downloaded(dataset, file)
        if file.checksum and file.name in found:
            verify(found[file.name], file.checksum)
    return found


def _downloaded(dataset: PublicDataset, file: RemoteFile) -> Path:
    try:
        return cached(file.name, None, lambda aside: _download(file, aside))
    except OSError as error:
        raise DataError(
            f"{dataset.name}: cannot download {file.url}: {error}; download it elsewhere and run "
            f"`cascade data fetch {dataset.name} --archive PATH/{file.name}`"
        ) from None


def _download(file: RemoteFile, aside: Path) -> None:
    download(file.url, aside, timeout=WAIT_SECONDS)
    if file.checksum:
        verify(aside, file.checksum)


def verify(file: Path, checksum: str) -> None:
    """Compare a file with ``sha256:...`` or ``md5:...``.

    Raises:
        DataError: it has another content.
    """
    algorithm, _, expected = checksum.partition(":")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if found != expected:
        raise DataError(f"{file}: expected {algorithm} {expected}, found {found}; delete the file and fetch it again")


def content_digest(tables: Tables) -> str:
    """SHA-256 of the rows of interactions and items, in the order of their ids and times, whatever the file format."""
    digest = hashlib.sha256()
    for name, keys in (("interactions", ("user_id", "timestamp")), ("items", ("item_id",))):
        ordered = tables[name].sort_by([(key, "ascending") for key in keys])
        for column in sorted(ordered.column_names):
            digest.update(json.dumps([name, column, ordered[column].to_pylist()]).encode())
    return digest.hexdigest()


def between(interactions: pa.Table, since: datetime | None, before: datetime | None) -> pa.Table:
    """The interactions of a period; ``timestamp`` is in seconds."""
    import pyarrow.compute as pc

    for bound, keeps in ((since, pc.greater_equal), (before, pc.less)):
        if bound is not None:
            interactions = interactions.filter(keeps(interactions["timestamp"], int(bound.timestamp())))
    if interactions.num_rows == 0:
        raise ConfigError("--since and --before: no interaction lies between them")
    return interactions


def write(folder: Path, dataset: PublicDataset, tables: Tables, rows: dict[str, int]) -> None:
    """The tables, and where they came from."""
    import pyarrow.parquet as pq

    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    source = {
        "data set": dataset.title,
        "homepage": dataset.homepage,
        "licence": dataset.licence,
        "files": [{"name": file.name, "url": file.url, "checksum": file.checksum} for file in dataset.files],
        "rows": rows,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    (folder / SOURCE).write_text(json.dumps(source, indent=1) + "\n")
