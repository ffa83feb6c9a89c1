"""Paths that Triton's stubs can take: plain ASCII without spaces.

Triton starts a stub through a shell without quotes, so a space in the path of the backends or a model ends its start.
The stub's Python may run without UTF-8, so FAISS and sqlite refuse other letters.
"""

from __future__ import annotations

import atexit
import functools
import re
import tempfile
from pathlib import Path

from ...core.errors import ServerError
from ...core.files import owned_folder

_PLAIN = re.compile(r"[A-Za-z0-9._/+@%=-]+")
_PLACES = ("/dev/shm", "/tmp", "/var/tmp")
"""Folders for links. The first one, which stubs need anyway, is not emptied of old files, as /tmp often is."""


_LINKS: dict[Path, Path] = {}
"""Link -> what it stands for."""


def plain_path(path: Path) -> Path:
    """``path`` if it is plain, else a link to it in a temporary folder of this process.

    Raises:
        ServerError: there is no folder with a plain name for the link.
    """
    path = path.absolute()
    if is_plain(path):
        return path
    return _link(path)


def is_plain(path: Path) -> bool:
    """Whether Triton's stubs can take a path as it is."""
    return bool(_PLAIN.fullmatch(str(path)))


def stands_for(link: Path, path: Path) -> None:
    """Have messages name ``path`` where Triton names ``link``."""
    _LINKS[link] = path


def real_paths(text: str) -> str:
    """A message in which the links of this process are the paths that they stand for."""
    for link, path in list(_LINKS.items()):
        if str(link) in text:
            text = re.sub(rf"{re.escape(str(link))}(?![0-9])", str(path).replace("\\", r"\\"), text)
    return text


@functools.cache
def _link(path: Path) -> Path:
    link = _folder() / str(len(_LINKS))
    link.symlink_to(path)
    _LINKS[link] = path
    return link


@functools.cache
def _folder() -> Path:
    """A folder of this process, which is removed when it ends."""
    for place in (_PLACES[0], tempfile.gettempdir(), *_PLACES[1:]):
        if is_plain(Path(place)):
            try:
                folder = owned_folder("links", Path(place))
            except OSError:
                continue
            atexit.register(folder.remove)
            return folder.path
    raise ServerError(
        f"no folder for links with plain names: none of {', '.join(_PLACES)} can be written; set TMPDIR to a folder "
        "whose path has only ASCII letters, digits and . _ + @ % = - /"
    )
