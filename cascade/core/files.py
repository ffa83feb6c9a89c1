"""Files that lie in several folders at once: big ones are linked, so that they take their space on disk once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LINK_FROM = 1 << 20
"""Bytes. Smaller files are copied: a person may edit a config or a model.py, and must not reach the artifact by it."""


def place(source: Path, target: Path) -> None:
    """Let what ``source`` holds, a file or a folder, lie at ``target``, too.

    Files of at least ``LINK_FROM`` bytes become hard links, which holds as long as nobody changes them in place:
    artifacts are written once, and replaced as a whole. Where the file system has no links, or the two lie on
    different ones, they are copied.
    """
    if source.is_dir():
        shutil.copytree(source, target, copy_function=place_file)
    else:
        place_file(source, target)


def place_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """``place`` for a file."""
    real = Path(source).resolve(strict=True)
    if real.stat().st_size >= LINK_FROM:
        try:
            os.link(real, target)
            return
        except FileExistsError:
            raise
        except OSError:  # EXDEV, EPERM, EMLINK, ENOTSUP: a copy serves as well
            pass
    shutil.copyfile(real, target)
