"""What a publication does beside writing to the model repository: the release is kept, and the oldest ones go."""

from __future__ import annotations

import logging
from pathlib import Path

from ...core.artifact import Artifact
from ...core.errors import ReleaseError
from ...ensemble.config import ExportConfig
from ..config import RolloutConfig
from .release_files import read_manifest
from .store import ReleaseStore

log = logging.getLogger(__name__)


def keep(artifact: Artifact, export: ExportConfig, rollout: RolloutConfig) -> None:
    """Keep the release of an export artifact that has been published; remove those beyond ``rollout.keep_releases``.

    Raises:
        ArtifactError: a file of the artifact is missing or damaged.
        ReleaseError: another process is changing the releases.
        DiskError: the disk is full; nothing of the release stays.
    """
    store = ReleaseStore(Path(export.repository), export.model_name)
    store.add(artifact.path)
    remove_oldest(store, rollout)


def remove_oldest(store: ReleaseStore, rollout: RolloutConfig, least: int = 1) -> None:
    """Remove the releases beyond ``rollout.keep_releases``, unless what is live cannot be read.

    Args:
        least: so many of the newest ones stay anyway.
    """
    try:
        gone = store.prune(max(rollout.keep_releases, least))
    except ReleaseError as error:  # what is live is unknown, and so what is needed
        log.warning("no release is removed: %s", error)
    else:
        if gone:
            log.info("%s: removed %s; rollout.keep_releases is %d", store.place, ", ".join(gone), rollout.keep_releases)


def not_kept(artifact: Artifact, export: ExportConfig) -> list[str]:
    """That the release of an export artifact is not kept, in words; empty if it is."""
    store = ReleaseStore(Path(export.repository), export.model_name)
    release = read_manifest(artifact.path, export.model_name).release
    return [] if (store.place / release).is_dir() else [f"{store.place / release} is not there"]
