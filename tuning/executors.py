"""Where trials run: in this process, or in the worker processes of a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from ..core.errors import ConfigError
from ..core.merlin_env import restore_protobuf

WAIT_SECONDS = 10
"""How long to wait for a Dask scheduler to answer."""
Result = TypeVar("Result")


class InProcessExecutor(Executor):
    """Runs each call at once in this process. Ctrl-C interrupts the running call."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def trial_executor(workers: int, scheduler: str | None = None) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many trials it runs at once.

    One worker is this process. Several are a Dask cluster of processes on this machine.

    Args:
        scheduler: address of a running Dask scheduler to use instead. Its workers must see the same folder of runs.

    Raises:
        ConfigError: if no scheduler answers at that address.
    """
    if scheduler is None and workers == 1:
        yield InProcessExecutor(), 1
        return
    import dask
    from distributed import Client, LocalCluster

    restore_protobuf()
    # allowed-failures 0: a trial that kills its worker is not tried on the next one.
    # daemon False: etl.scheduler may start processes inside a worker.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.worker.daemon": False}):
        if scheduler is not None:
            with _client(scheduler) as client:
                yield client.get_executor(pure=False), max(workers, len(client.nthreads()))
            return
        options = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0, "env": worker_environment(workers)}
        with LocalCluster(**options, dashboard_address=None) as cluster, Client(cluster) as client:
            yield client.get_executor(pure=False), workers


def worker_environment(workers: int) -> dict[str, str]:
    """Environment variables of one of ``workers`` processes that share this machine.

    Each gets an equal share of the cores, shows no progress bars, and takes GPU memory only as it needs it. Variables
    that are set already keep their values.
    """
    threads = str(max(1, len(os.sched_getaffinity(0)) // workers))
    ours = {name: threads for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")}
    ours |= {"TQDM_DISABLE": "1", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {name: os.environ.get(name, value) for name, value in ours.items()}


def _client(address: str) -> Any:
    from distributed import Client

    try:
        return Client(address, timeout=WAIT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"--scheduler {address}: no Dask scheduler answers there ({error})") from None
