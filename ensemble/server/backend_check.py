"""Which of Triton's backends a model needs, and whether the runtime has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.errors import ServerError
from ..repository.model_config import read_config


def check_backends(repository: Path, model: str, backends: Path) -> None:
    """Check that the runtime can load ``model``, and the steps of it where it is an ensemble.

    Args:
        backends: the runtime's folder of backends.

    Raises:
        ServerError: naming the model and the backend that there is not, or a config that is none.
    """
    served = _config(repository / model)
    steps = [_config(repository / step.model_name) for step in served.ensemble_scheduling.step]
    for config in [served, *steps]:
        if config.backend and not (backends / config.backend).is_dir():
            raise ServerError(
                f"model {config.name!r} runs in Triton's backend {config.backend!r}, which the runtime of this "
                "environment does not have: serve the repository with NVIDIA's own Triton image, "
                "or export it with serving.backend: python"
            )


def _config(folder: Path) -> Any:
    file = folder / "config.pbtxt"
    if not file.is_file():
        raise ServerError(f"{folder.parent}: holds no model {folder.name!r}, which an ensemble there runs as a step")
    return read_config(file)
