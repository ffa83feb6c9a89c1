"""Which releases the processes of a model hold, and whom they answer: a file that their server writes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...core.files import write_text

SERVING_FILE = "CASCADE_SERVING_FILE"
"""Environment variable with the path of the file. Without it a process has its own release only."""
_RELEASES = "releases"


@dataclass(frozen=True)
class ArmAddress:
    """A release that a server of its own answers with, for some of the users or beside the active one."""

    name: str
    release: str
    share: float
    """From 0 to 1; of users, or of requests where it is a shadow."""
    url: str | None
    """``host:port`` of its gRPC endpoint; None while it does not answer."""


@dataclass(frozen=True)
class Beside:
    """Who is asked beside the active release."""

    salt: str = ""
    """Key of the assignment of users to arms."""
    arms: tuple[ArmAddress, ...] = ()
    """In the order of the assignment."""
    shadows: tuple[ArmAddress, ...] = ()
    timeout_s: float = 1.0
    """Seconds that one of them has to answer."""


@dataclass(frozen=True)
class Serving:
    """The content of the file."""

    generation: int
    """Grows with each change."""
    active: str
    """Id of the release that answers whoever is in no arm."""
    kept: tuple[str, ...] = ()
    """Ids of the others that are loaded, so that each of them can answer at once."""
    beside: Beside = Beside()

    def write(self, file: Path) -> None:
        """Write it by a rename, so that a reader finds a whole one."""
        write_text(file, json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Serving | None:
        """The one that was written last; None if there is none."""
        try:
            raw = json.loads(file.read_text())
            beside = raw["beside"]
            arms, shadows = (tuple(ArmAddress(**each) for each in beside[kind]) for kind in ("arms", "shadows"))
            found = Beside(beside["salt"], arms, shadows, beside["timeout_s"])
            return cls(raw["generation"], raw["active"], tuple(raw["kept"]), found)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def release_folder(file: Path, release: str) -> Path:
    """Where a release lies that joins those which a process has loaded at its start.

    Args:
        file: that of `Serving`.
    """
    return file.parent / _RELEASES / release
