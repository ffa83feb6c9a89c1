"""The step that looks users up in the feature store, built from the features artifact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ...core.errors import ConfigError
from ...workflows.config import FeatureStoreConfig
from ...workflows.features.artifact_reader import ArtifactReader
from ...workflows.features.spec import FeatureSpec
from ..graph.ops import LookupUser


def user_lookup(
    features: Path, store: FeatureStoreConfig, columns: Sequence[str] | None = None, times: int = 0
) -> LookupUser:
    """The op for the features artifact in folder ``features``; it has no files.

    Args:
        columns: the raw user columns that the transforms read; all of the profile by default.
        times: how many times of the history the transforms read; 0 for none.

    Raises:
        ConfigError: if the store names no project, or the artifact lacks one of ``columns`` or the times.
    """
    if store.project is None:
        raise ConfigError("feature_store.project: expected a name, is not set")
    spec = FeatureSpec.load(features)
    profile = spec.view("user_profile")
    have = dict(profile.columns) if profile else {}
    lacking = [name for name in columns or [] if name not in have]
    if lacking:
        raise ConfigError(f"user_profile: lacks {', '.join(lacking)}; it has {', '.join(have) or 'no columns'}")
    wanted = {name: have[name] for name in (have if columns is None else columns)}
    views = {"user_profile": list(wanted)} if profile else {}
    history = ["history_ids", "rejected_ids", *(["history_times"] if times else [])]
    if times and not spec.times:
        raise ConfigError("user_history: lacks history_times; it was made without history.gaps")
    return LookupUser(
        project=store.project,
        columns=wanted,
        user_kind=spec.keys["user_id"],
        item_kind=spec.keys["item_id"],
        seen=spec.seen,
        views={**views, "user_history": history},
        online=store.online,
        redis=store.redis_without_password if store.online == "redis" else "",
        timeout=store.timeout_ms / 1000,
        retry=store.retry_ms / 1000,
        times=times,
    )


def reading_artifact(users: LookupUser, features: Path) -> LookupUser:
    """A lookup of the same columns in the features artifact in folder ``features``, without the test part."""
    own = replace(users)
    own.read_from(ArtifactReader.open(own.query, features))
    return own
