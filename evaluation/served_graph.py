"""Loads the served graph for offline evaluation, with the feature store that the server reads."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..ensemble.graph.ops.lookup_user import REPO_VARIABLE

_turn = threading.RLock()


def version_folder(export: Path) -> Path:
    """The version folder in an export artifact."""
    return next(export.glob("*/*/graph.json")).parent


@contextmanager
def feature_repo_at(folder: Path | str) -> Iterator[None]:
    """Let the graph's user lookup read the Feast repository in ``folder``, as the server does.

    Threads take turns, as all of them have the same environment.
    """
    with _turn:
        before = os.environ.get(REPO_VARIABLE)
        os.environ[REPO_VARIABLE] = str(Path(folder).resolve())
        try:
            yield
        finally:
            if before is None:
                del os.environ[REPO_VARIABLE]
            else:
                os.environ[REPO_VARIABLE] = before
