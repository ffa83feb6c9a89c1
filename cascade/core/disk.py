"""Space on disk: checked and taken before a file is mapped, and one clear error where it ends.

Writing to a mapped file that has no blocks on a full disk ends the process with SIGBUS, without a message.
"""

from __future__ import annotations

import errno
import math
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import CascadeError, DiskError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXT = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|database or disk is full|\d+ requested and \d+ written"
)
"""How libraries say so whose errors have no number: FAISS, sqlite, TensorFlow, numpy."""
_ADVICE = "free some (`cascade clean` shows what no release needs), or take a folder on a larger disk"


def new_array(file: Path, dtype: DTypeLike, shape: Sequence[int]) -> np.memmap[Any, Any]:
    """A new .npy file, mapped for writing. Its space on disk is taken already.

    Raises:
        DiskError: there is not enough; then there is no file.
    """
    import numpy as np
    from numpy.lib.format import open_memmap

    need = math.prod(shape) * np.dtype(dtype).itemsize
    check_space(file, need)
    try:
        array: np.memmap[Any, Any] = open_memmap(file, "w+", dtype, tuple(shape))  # type: ignore[no-untyped-call]
        with file.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
    except OSError as error:
        file.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise
        raise DiskError(f"{file}: needs {_size(need)} on disk: {_what(error, file)}: {_ADVICE}") from error
    return array


def check_space(file: Path, need: int) -> None:
    """Check that a file of ``need`` bytes fits on its disk.

    Raises:
        DiskError: it does not.
    """
    if need > (free := free_bytes(file)):
        raise DiskError(f"{file}: needs {_size(need)} on disk, {_size(free)} are free: {_ADVICE}")


@contextmanager
def disk_errors(what: str, folder: Path) -> Iterator[None]:
    """Raise DiskError in place of any error that comes from a full disk.

    Args:
        what: what is being written, e.g. ``stage etl``.
        folder: where it is written, unless the error names a file.
    """
    try:
        yield
    except CascadeError:
        raise  # it names its cause
    except Exception as error:
        cause = _full(error)
        if cause is None:
            raise
        # of a copy the second file is the one that is written
        named = (cause.filename2 or cause.filename) if isinstance(cause, OSError) else None
        place = Path(os.fsdecode(named)) if isinstance(named, (str, bytes)) else folder
        raise DiskError(f"{what}: {place}: {_what(cause, place)}: {_ADVICE}") from error


def free_bytes(path: Path) -> int:
    """Bytes that this user can still write to the disk of ``path``, which need not exist."""
    return shutil.disk_usage(_existing(path)).free


def _full(error: BaseException) -> BaseException | None:
    """``error`` or the first of its causes that comes from a full disk; None if none does."""
    found: BaseException | None = error
    while found is not None:
        if (isinstance(found, OSError) and found.errno in FULL) or _FULL_TEXT.search(str(found)):
            return found
        found = found.__cause__ or found.__context__
    return None


def _what(error: BaseException, path: Path) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EFBIG or "File too large" in str(error):
        return "a file is larger than this process may write (`ulimit -f`)"
    if number == errno.EDQUOT or "quota" in str(error):
        return "the disk quota of this user is used up"
    if os.statvfs(_existing(path)).f_favail == 0:
        return "the disk has no room for more files (no inode is left)"
    return f"the disk is full, {_size(free_bytes(path))} are free without what was half-written"


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"
