"""What to check and to set in a model's config before a server loads it: backends, instances."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.errors import ServerError
from ..protocol.config_file import CONFIG, read_config

_RARELY = 1000
"""A priority of Triton's rate limiter. Of two idle instances, the one with priority 1 runs 1000 times as often."""


def config_file(repository: Path, model: str) -> Path:
    """The config.pbtxt of a model.

    Raises:
        ServerError: if the repository holds no such model.
    """
    file = repository / model / CONFIG
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
    steps = [_step_config(repository / name) for name in names_of(served)]
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


def names_of(config: Any) -> list[str]:
    """Names of the models that an ensemble runs as its steps; none for any other model."""
    return [step.model_name for step in config.ensemble_scheduling.step]


def one_process_each(config: Any, numbers: Iterator[int]) -> None:
    """Split the instance groups of ``config`` (protobuf ``ModelConfig``) into groups of one process, with new names.

    If such a group is replaced by another, Triton ends and starts only its process. It compares groups by their host
    policy, so that carries the number as well.

    Triton runs the first instance if more than one is idle, provided that the server's rate limiter counts executions.
    If idle instances took turns, the caches of all of them would be cold: 18 % more latency for requests that come one
    after the other.
    """
    groups = [group for group in config.instance_group for _ in range(group.count or 1)]
    split = [type(group)() for group in groups]
    for at, (group, of) in enumerate(zip(split, groups, strict=True)):
        group.CopyFrom(of)
        group.name = group.host_policy = f"{config.name}-{next(numbers)}"
        group.count, group.rate_limiter.priority = 1, 1 if at == 0 else _RARELY
    del config.instance_group[:]
    config.instance_group.extend(split)


def write_config(file: Path, config: Any) -> None:
    """Write a config.pbtxt by a rename, so that a reader finds either the old one or the new one."""
    from google.protobuf import text_format

    aside = file.with_name(f".{file.name}.new")
    aside.write_text(text_format.MessageToString(config))
    aside.replace(file)


def _step_config(folder: Path) -> Any:
    file = folder / CONFIG
    if not file.is_file():
        raise ServerError(f"{folder.parent}: holds no model {folder.name!r}, which an ensemble there runs as a step")
    return read_config(file)
