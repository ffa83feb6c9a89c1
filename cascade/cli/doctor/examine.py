"""All checks, in the order in which they are printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...config.pipeline import PipelineConfig
from ...ensemble.config import ExportConfig, ServerConfig
from ...workflows.config import FeatureStoreConfig
from .check import Check
from .machine import check_cache, check_descriptors, check_disk, check_gpu, check_ports, check_shared_memory
from .pipeline import check_config, check_data, check_feast, check_redis, check_triton, check_triton_version
from .software import check_cudf, check_pins, check_platform, check_python


def examine(file: Path, sets: Sequence[str] = ()) -> list[Check]:
    """Run every check for the pipeline in ``file``. An invalid config does not stop the other checks."""
    config, config_check = check_config(file, sets)
    server = config.server if config else ServerConfig()
    store = config.feature_store if config else FeatureStoreConfig()
    gpu = check_gpu(wanted=_gpu_key(config))
    return [
        check_platform(),
        check_python(),
        check_pins(),
        config_check,
        *([check_data(config)] if config else []),
        *check_triton(),
        check_triton_version(),
        check_shared_memory(),
        check_ports(server, config.export if config else ExportConfig()),
        check_descriptors(),
        gpu,
        check_cudf(has_gpu=gpu.found.startswith("NVIDIA")),
        check_feast(store),
        *([check_redis(store)] if store.online == "redis" else []),
        check_cache(),
        check_disk(Path.cwd()),
    ]


def _gpu_key(config: PipelineConfig | None) -> str | None:
    """The first config key that asks for a GPU, or None."""
    if config is None:
        return None
    keys = {
        "serving.ann.type": config.serving.ann.type.startswith("gpu_"),
        "etl.device": config.etl.device == "gpu",
        "etl.scheduler": config.etl.scheduler == "cuda",
    }
    return next((key for key, needs_gpu in keys.items() if needs_gpu), None)
