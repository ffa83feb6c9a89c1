"""Where the tasks of the ETL run: the device, the memory limit and the Dask scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from ...core.errors import ConfigError
from ...core.merlin_env import prepare_merlin, restore_protobuf
from ..config import EtlConfig

MIN_BYTES = 32 * 2**20
"""The least ``etl.memory_limit`` for each worker."""
DEFAULT_BYTES = 4_000_000_000
"""What the ETL takes for data without ``etl.memory_limit``."""
PROCESS_BYTES = 3 * 2**29
"""Memory of a worker process without data: Python with NVTabular and TensorFlow."""
TCP_WAIT_SECONDS = 10


def pick_device(config: EtlConfig) -> Literal["cpu", "gpu"]:
    """``etl.device`` with auto resolved.

    Raises:
        ConfigError: if ``gpu`` is set and there is no GPU or no cuDF.
    """
    prepare_merlin()
    from merlin.core import dispatch

    usable = bool(dispatch.HAS_GPU) and dispatch.cudf is not None
    if config.device == "gpu" and not usable:
        lack = "no cuDF" if dispatch.HAS_GPU else "no GPU"
        raise ConfigError(f"etl.device: gpu needs a GPU and cuDF, there is {lack}; use auto or cpu")
    return "gpu" if usable and config.device != "cpu" else "cpu"


def given_limit(config: EtlConfig) -> int | None:
    """``etl.memory_limit`` in bytes; None if it is not given.

    Raises:
        ConfigError: if it is not a size.
    """
    if config.memory_limit is None:
        return None
    from dask.utils import parse_bytes

    try:
        return int(parse_bytes(config.memory_limit))
    except ValueError:
        raise ConfigError(f"etl.memory_limit: {config.memory_limit!r} is not a size, write e.g. 4GB") from None


def memory_bytes(config: EtlConfig) -> int:
    """``etl.memory_limit`` in bytes, or its default for the ETL.

    Raises:
        ConfigError: if it is not a size, or is less than MIN_BYTES for each worker.
    """
    given = given_limit(config)
    limit = DEFAULT_BYTES if given is None else given
    if limit < MIN_BYTES * config.workers:
        least = MIN_BYTES * config.workers // 2**20
        shown = f"{config.memory_limit} is too little for {config.workers} workers"
        raise ConfigError(f"etl.memory_limit: {shown}, expected at least {least}MiB")
    return limit


@contextmanager
def scheduler(config: EtlConfig) -> Iterator[None]:
    """Run Dask and NVTabular on the scheduler of ``etl.scheduler`` while the context is open.

    Raises:
        ConfigError: if the scheduler is unknown or does not answer, or needs a GPU and there is none.
    """
    import dask

    kind = config.scheduler
    if kind == "threads":
        with dask.config.set(scheduler="threads", num_workers=config.workers):
            yield
    elif kind == "local-cluster":
        yield from _local(config)
    elif kind == "cuda":
        yield from _cuda(config)
    elif kind.startswith(("tcp://", "tls://", "ucx://")):
        yield from _remote(kind)
    else:
        raise ConfigError(f"etl.scheduler: {kind!r} is none of threads, local-cluster, cuda, tcp://host:port")


def _local(config: EtlConfig) -> Iterator[None]:
    from distributed import Client, LocalCluster

    limit = memory_bytes(config) // config.workers + PROCESS_BYTES
    options = {"n_workers": config.workers, "threads_per_worker": 1, "memory_limit": limit}
    restore_protobuf()
    with LocalCluster(**options, dashboard_address=None) as cluster, Client(cluster):
        yield


def _cuda(config: EtlConfig) -> Iterator[None]:
    prepare_merlin()
    from merlin.core.dispatch import HAS_GPU

    if not HAS_GPU:
        raise ConfigError("etl.scheduler: cuda needs a GPU, and there is none; use threads or local-cluster")
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError:
        raise ConfigError(
            "etl.scheduler: cuda needs dask-cuda; install the extra: pip install 'merlin-cascade[gpu]'"
        ) from None
    from distributed import Client

    with LocalCUDACluster(device_memory_limit=memory_bytes(config), dashboard_address=None) as cluster, Client(cluster):
        yield


def _remote(address: str) -> Iterator[None]:
    from distributed import Client

    try:
        client = Client(address, timeout=TCP_WAIT_SECONDS)
    except (OSError, TimeoutError) as error:
        raise ConfigError(f"etl.scheduler: no Dask scheduler answers at {address} ({error})") from None
    with client:
        yield
