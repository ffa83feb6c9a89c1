"""What was published last: noted in a file beside the registry, and in Redis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...core.artifact import Artifact
from ...core.errors import FeatureStoreError
from ...core.files import write_text
from ..config import FeatureStoreConfig
from .connection import data_folder, online_settings, project_of, reaching
from .online import FeatureQuery, open_reader, redis_client
from .spec import HISTORY_FILE, FeatureSpec


def holds(section: FeatureStoreConfig, artifact: Artifact) -> bool:
    """Whether the artifact was published last, and is still in the store."""
    return _noted(section).items() >= _published(section, artifact).items() and _has_users(section, artifact)


def published_spec(section: FeatureStoreConfig) -> FeatureSpec | None:
    """The views that the store has, with the columns that were kept for older releases; None if that is not known, as
    after a publication that was killed, or one of another machine.

    Raises:
        FeatureStoreError: Redis is not reached.
    """
    noted = _noted(section)
    known = noted.keys() >= {"digest", "spec"} and _noted_in_redis(section) in (None, noted["digest"])
    return FeatureSpec.from_json(noted["spec"]) if known else None


def _noted(section: FeatureStoreConfig) -> dict[str, Any]:
    """What the marker holds; nothing without one, or if it is damaged."""
    try:
        found = json.loads(_marker(section).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _marker(section: FeatureStoreConfig) -> Path:
    """The file that says what was published last."""
    return Path(section.repo) / "data" / f"{project_of(section)}.json"


def _published(section: FeatureStoreConfig, artifact: Artifact) -> dict[str, Any]:
    """What the marker says of a publication of the artifact."""
    return {"digest": artifact.digest, "online": online_settings(section, section.redis_without_password)}


def note_published(section: FeatureStoreConfig, artifact: Artifact, spec: FeatureSpec) -> None:
    """Note what was published; in Redis as well, because other machines may publish to it.

    Args:
        spec: the views that the store has now.
    """
    if section.online == "redis":
        redis_client(section.redis).set(f"{project_of(section)}:published", artifact.digest)
    noted = {**_published(section, artifact), "spec": spec.to_json()}
    write_text(_marker(section), json.dumps(noted, indent=1))


def forget_published(section: FeatureStoreConfig) -> FeatureSpec | None:
    """Forget what was published, so that a publication that is killed is not taken for a finished one.

    Returns:
        The views that the store had after the last one that was finished; None if that is not known.
    """
    spec = _noted(section).get("spec")
    write_text(data_folder(section) / _marker(section).name, json.dumps({"spec": spec} if spec else {}))
    if section.online == "redis":
        redis_client(section.redis).delete(f"{project_of(section)}:published")
    return FeatureSpec.from_json(spec) if spec else None


def _has_users(section: FeatureStoreConfig, artifact: Artifact) -> bool:
    """Whether the online store knows a user of the artifact; the marker file may outlive the store."""
    import pyarrow.parquet as pq

    wanted = FeatureQuery(project_of(section), "user_id", {"user_history": ["history_ids"]})
    head = next(pq.ParquetFile(artifact.path / HISTORY_FILE).iter_batches(1, columns=["user_id"]), None)
    try:
        reader = open_reader(wanted, Path(section.repo), section.online, section.redis)
        known = head is None or any(reader.read(head.column("user_id").to_pylist()).known)
        return known and _noted_in_redis(section) in (None, artifact.digest)
    except FeatureStoreError:
        return False


def _noted_in_redis(section: FeatureStoreConfig) -> str | None:
    """The digest of what was published last; empty if nothing was, None for another store."""
    if section.online != "redis":
        return None
    with reaching(section):
        digest = redis_client(section.redis).get(f"{project_of(section)}:published")
    return digest.decode() if digest else ""
