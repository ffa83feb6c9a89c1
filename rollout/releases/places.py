"""Where the releases of a model lie."""

from __future__ import annotations

from pathlib import Path

RELEASES = ".releases"
"""Folder in a model repository."""


def releases_folder(repository: Path, model: str) -> Path:
    """The folder with the releases of a model, its live set and its audit log."""
    return repository / RELEASES / model
