"""Who runs the trials: this process, or Dask's workers, each a process with a TensorFlow of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar

from ..core.errors import ConfigError

WAIT_SECONDS = 10
Result = TypeVar("Result")


class Alone(Executor):
    """Runs what it is given at once, in this process; Ctrl-C ends it there."""

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        future: Future[Result] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def crew(workers: int, scheduler: str | None = None) -> Iterator[tuple[Executor, int]]:
    """This process for one worker, else a Dask cluster of processes on this machine; and how many trials fit at once.

    Args:
        scheduler: address of a running Dask scheduler instead, whose workers see the same folder of runs.

    Raises:
        ConfigError: if no scheduler answers there.
    """
    if scheduler is None and workers == 1:
        yield Alone(), 1
        return
    import dask
    from distributed import Client, LocalCluster

    # A worker that dies takes its trial along, not the next workers as well; etl.scheduler may want processes below it.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0, "distributed.worker.daemon": False}):
        if scheduler is not None:
            with _client(scheduler) as client:
                yield client.get_executor(pure=False), max(workers, len(client.nthreads()))
            return
        options = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0, "env": environment(workers)}
        with LocalCluster(**options, dashboard_address=None) as cluster, Client(cluster) as client:
            yield client.get_executor(pure=False), workers


def environment(workers: int) -> dict[str, str]:
    """What lets ``workers`` processes share this machine: each its part of the cores, no bars, no greed for the GPU."""
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
