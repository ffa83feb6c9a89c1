"""Checks of the config and of the programs that it needs: Triton, Feast and Redis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...config.load import config_with_origins
from ...config.pipeline import PipelineConfig
from ...core.errors import ConfigError, DataError, FeatureStoreError
from ...workflows.config import FeatureStoreConfig
from ...workflows.features.online import ONLINE_FILE
from .check import Check, installed_version


def check_config(file: Path, sets: Sequence[str] = ()) -> tuple[PipelineConfig | None, Check]:
    """The config, or None if it is not valid, and the check."""
    try:
        config, _ = config_with_origins(file, sets)
    except ConfigError as error:
        problems = str(error).replace("\n", "; ")
        return None, Check("config", "fail", problems, "correct it, or name another file with --config")
    return config, Check("config", "ok", str(file))


def check_data(config: PipelineConfig) -> Check:
    """The tables are there, with the columns that the config names. No row is read."""
    from ...pipeline.stages import check_inputs

    try:
        check_inputs(config)
    except (ConfigError, DataError) as error:
        problems = str(error).replace("\n", "; ")
        return Check("data", "fail", problems, "correct the tables, or what the config says of them")
    place = f", {config.data.path}" if config.data.path else ""
    return Check("data", "ok", f"source {config.data.source}{place}")


def check_triton() -> list[Check]:
    """One check for each part of the Triton runtime."""
    from ...ensemble.server.runtime import runtime_parts

    return [
        Check(f"triton: {part.name}", "ok", str(part.path))
        if part.path is not None
        else Check(f"triton: {part.name}", "fail", "not found", part.advice)
        for part in runtime_parts()
    ]


def check_triton_version() -> Check:
    """Which server the wheel has; it is older than NVIDIA's fixes."""
    from ...ensemble.server.runtime import triton_version

    return Check(
        "triton: version", "ok", f"{triton_version()}; it has known faults: who may reach it is in SECURITY.md"
    )


def check_feast(store: FeatureStoreConfig) -> Check:
    """Feast is installed, and its repository is a folder or can become one: `cascade run` makes it."""
    version = installed_version("feast")
    if version is None:
        return Check("feast", "fail", "not installed", "make setup")
    repo = Path(store.repo)
    found = f"{version}, repository {repo}, online store {store.online}"
    if repo.is_dir():
        if store.online == "sqlite" and not (repo / ONLINE_FILE).is_file():
            found += "; no online store yet: `cascade run` makes it"
        return Check("feast", "ok", found)
    if repo.exists():
        return Check("feast", "fail", f"{version}, {repo} is not a folder", "set feature_store.repo to a folder")
    return Check("feast", "ok", f"{found}; `cascade run` makes the repository")


def check_redis(store: FeatureStoreConfig, timeout_s: float = 2.0) -> Check:
    """A single Redis server answers at the address of Feast's connection string, and takes its password."""
    from ...workflows.features.connection import check_single_server

    try:
        check_single_server(store.model_copy(update={"online": "redis"}), timeout_s)
    except (ConfigError, FeatureStoreError) as error:
        found, _, advice = str(error).removeprefix("feature_store.redis: ").rpartition("; ")
        return Check("redis", "fail", found, advice)
    return Check("redis", "ok", f"{store.redis.partition(',')[0]} answers")
