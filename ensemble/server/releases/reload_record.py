"""What a server has made live, or could not, for its metrics and its status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ....core.errors import CascadeError, ServerError
from ...protocol.call_errors import one_line


class ReloadRecord:
    """Counts the releases that went live and those that were refused."""

    def __init__(self) -> None:
        self.counts = {"reloads": 0, "reload_failures": 0}
        self.error = ""
        """Why the last reload failed; empty if it did not."""
        self.followed: tuple[int, str] = (0, "")
        """Generation of the live set that was followed last; with a fault, why it could not be."""

    @contextmanager
    def counted(self, source: Path) -> Iterator[None]:
        """Count what is done within as a reload, or as one that failed.

        Raises:
            CascadeError: what was raised within; anything else becomes a ServerError that names ``source``.
        """
        try:
            yield
        except Exception as error:  # of any kind: what is published is not known to be whole
            self.counts["reload_failures"] += 1
            self.error = one_line(error) or type(error).__name__
            if isinstance(error, CascadeError):
                raise
            raise ServerError(f"{source}: {self.error}") from error
        self.counts["reloads"] += 1
        self.error = ""
