"""What to check and to set in a model's config before a server loads it: backends, instances."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ...core.errors import ServerError
from ..repository.model_config import read_config

_RARELY = 1000
"""A priority of Triton's rate limiter. Of two idle instances, the one with priority 1 runs 1000 times as often."""


def config_file(repository: Path, model: str) -> Path:
    """The config.pbtxt of a model.

    Raises:
        ServerError: if the repository holds no such model.
    """
    file = repository / model / "config.pbtxt"
    if not file.is_file():
        raise ServerError(f"{repository}: holds no model {model!r} to serve; `cascade run` exports it")
    return file


def check_backends(repository: Path, model: str, backends: Path) -> None:
    """Check that the runtime can load ``model`` and, if it is an ensemble, its steps.

    Args:
        backends: the runtime's folder of backends.

    Raises:
        ServerError: naming the model and the missing backend, or the config that cannot be read.
    """
    served = read_config(config_file(repository, model))
    steps = [_step_config(repository / step.model_name) for step in served.ensemble_scheduling.step]
    for config in [served, *steps]:
        if config.backend and not (backends / config.backend).is_dir():
            raise ServerError(
                f"model {config.name!r} runs in Triton's backend {config.backend!r}, which the runtime of this "
                "environment does not have: serve the repository with NVIDIA's own Triton image, "
                "or export it with serving.backend: python"
            )


def instance_count(configured: int | None) -> int:
    """``configured``, or by default the number of CPU cores that this process may use."""
    return configured or len(os.sched_getaffinity(0))


def with_instances(file: Path, instances: int) -> str | None:
    """The config in ``file`` as JSON, with this many instances; None for an ensemble, whose steps have their own.

    Triton runs the first instance if more than one is idle, provided that the server's rate limiter counts executions.
    If idle instances took turns, the caches of all of them would be cold: 18 % more latency for requests that come one
    after the other.

    Raises:
        ServerError: if the file holds no model config.
    """
    from google.protobuf.json_format import MessageToJson

    config = read_config(file)
    if config.platform == "ensemble":
        return None
    first = config.instance_group[0]
    first.count, first.rate_limiter.priority = 1, 1
    if instances > 1:
        others = config.instance_group.add()
        others.CopyFrom(first)
        others.count, others.rate_limiter.priority = instances - 1, _RARELY
    return str(MessageToJson(config))


def _step_config(folder: Path) -> Any:
    file = folder / "config.pbtxt"
    if not file.is_file():
        raise ServerError(f"{folder.parent}: holds no model {folder.name!r}, which an ensemble there runs as a step")
    return read_config(file)
