"""Where the releases of a model lie."""

from __future__ import annotations

from pathlib import Path

RELEASES = ".releases"
"""Folder in a model's folder, where Triton ignores what is no version. Beside the models, a Triton that loads all of
them would take it for a model, and not start."""


def releases_folder(repository: Path, model: str) -> Path:
    """The folder with the releases of a model, its live set and its audit log."""
    return repository / model / RELEASES
