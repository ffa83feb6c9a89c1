"""Which releases the processes of a model hold, and which one of them answers: a file that their server writes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.files import write_text

SERVING_FILE = "CASCADE_SERVING_FILE"
"""Environment variable with the path of the file. Without it a process has its own release only."""
_RELEASES = "releases"


@dataclass(frozen=True)
class Serving:
    """The content of the file."""

    generation: int
    """Grows with each change."""
    active: str
    """Id of the release that answers."""
    kept: tuple[str, ...] = ()
    """Ids of the others that are loaded, so that each of them can answer at once."""

    def write(self, file: Path) -> None:
        """Write it by a rename, so that a reader finds a whole one."""
        write_text(file, json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Serving | None:
        """The one that was written last; None if there is none."""
        try:
            raw = json.loads(file.read_text())
            return cls(raw["generation"], raw["active"], tuple(raw["kept"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def release_folder(file: Path, release: str) -> Path:
    """Where a release lies that joins those which a process has loaded at its start.

    Args:
        file: that of `Serving`.
    """
    return file.parent / _RELEASES / release
