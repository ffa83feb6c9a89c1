"""What a file is by its first bytes, where its ending says something else."""

from __future__ import annotations

import re
from pathlib import Path

from ...core.errors import DataError

KINDS = (
    (rb"\x1f\x8b", "a gzip file", ".csv.gz"),
    (rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", "a bzip2 file", ".csv.bz2"),
    (rb"\x28\xb5\x2f\xfd", "a Zstandard file", ".csv.zst"),
    (rb"PAR1.*PAR1\Z", "a Parquet file", ".parquet"),
    (rb"PK\x03\x04", "a ZIP archive or an Excel workbook", ""),
)
"""How the first and the last bytes look, what the file is, and the ending that says so."""
HEAD, TAIL = 10, 4
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def check_kind(file: Path, encoding: str = "") -> None:
    """Refuse a file whose content is of another kind than its ending says.

    Args:
        encoding: of text.

    Raises:
        DataError: naming what it is.
    """
    ends = _ends(file)
    if not ends:
        return  # an empty file, of which its reader says so
    expected = {".parquet": ".parquet", ".gz": ".csv.gz", ".bz2": ".csv.bz2", ".zst": ".csv.zst"}.get(file.suffix, "")
    kinds = (kind for kind in KINDS if re.match(kind[0], ends, re.DOTALL))
    _, found, ending = next(kinds, (b"", "", ""))
    if found and (ending != expected or not ending):
        way = f"give it the ending {ending}" if ending else "take the table out of it, as CSV or Parquet"
        raise DataError(f"{file}: is {found} by its content; {way}")
    if expected and not found and not (expected == ".parquet" and ends.startswith(b"PAR1")):
        named = next(name for _, name, ending in KINDS if ending == expected)
        raise DataError(f"{file}: is not {named}, which its ending says; give it the right one (.csv for plain text)")
    if not found and ends.startswith(UTF_16) and "16" not in encoding and "32" not in encoding:
        raise DataError(f"{file}: is UTF-16 text; set data.csv.encoding: utf-16")


def _ends(file: Path) -> bytes:
    """The first and the last bytes."""
    with file.open("rb") as stream:
        head = stream.read(HEAD)
        stream.seek(max(0, file.stat().st_size - TAIL))
        return head + stream.read(TAIL) if head else b""
