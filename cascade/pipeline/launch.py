"""Several workers on this machine: a process for each, with ``TF_CONFIG`` set; one that ends in error ends them all."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from ..config.pipeline import PipelineConfig
from ..core.errors import ConfigError, WorkerError
from ..core.processes import end_with_parent, end_group
from ..models.training.tf_config import VARIABLE, tf_config
from .stages import all_stages, plan, with_parents

GRACE_S = 5.0
"""What a worker may take to end when it is told to."""
LEAVE_S = 30.0
"""What workers may take to end after the chief has."""
LAST_LINES = 20
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
COMMAND = [sys.executable, "-c", "from cascade.cli.main import main; main()"]


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run ``cascade <arguments>`` in ``count`` workers; the first is the chief, and is heard.

    Returns:
        The chief's exit code, if no other worker ended in error before it.

    Raises:
        ConfigError: if ``TF_CONFIG`` is set, which says where the workers are.
        WorkerError: with the last lines of a worker that did.
    """
    if os.environ.get(VARIABLE):
        raise ConfigError(f"--workers: starts workers on this machine, {VARIABLE} says where they are: leave one out")
    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        workers = [stack.enter_context(_worker(at, addresses, arguments, logs[at])) for at in range(count)]
        for worker in workers:
            stack.callback(worker.terminate)  # all, before any of them is waited for
        while (code := workers[0].poll()) is None:
            for at, worker in enumerate(workers):
                if at and worker.poll():
                    raise WorkerError(f"worker {at} of {count} {_ended(worker.returncode)}{_last_lines(logs[at])}")
            time.sleep(0.1)
        until = time.monotonic() + (LEAVE_S if code == 0 else 0)
        while time.monotonic() < until and any(worker.poll() is None for worker in workers):
            time.sleep(0.1)
        if code < 0:
            raise WorkerError(f"worker 0 of {count} {_ended(code)}")
        return code


@contextmanager
def _worker(
    index: int, addresses: Sequence[str], arguments: Sequence[str], log: TextIO
) -> Iterator[subprocess.Popen[str]]:
    """A worker with a process group of its own, which is gone afterwards, and as soon as this process is."""
    output = None if index == 0 else log
    worker = subprocess.Popen(
        [*end_with_parent("KILL"), *COMMAND, *arguments],
        env=_environment(os.environ, addresses, index),
        stdout=output,
        stderr=output,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield worker
    finally:
        end_group(worker, GRACE_S)


def _environment(base: Mapping[str, str], addresses: Sequence[str], index: int) -> dict[str, str]:
    """That of one worker: its place, and its share of the cores unless that is set."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // len(addresses)))
    return {**dict.fromkeys(THREADS, threads), **base, VARIABLE: tf_config(addresses, index)}


def trains(config: PipelineConfig, runs: Path, only: Sequence[str], force: bool) -> bool:
    """Whether ``cascade run`` would train anything, so that several workers have something to do."""
    stages = all_stages()
    wanted = list(only) or [stage.name for stage in stages]
    needed = with_parents(stages, wanted)
    rows = {row.stage: row for row in plan(config, runs, stages)}
    trained = [stage.name for stage in stages if stage.take_part is not None and stage.name in needed]
    return any(not rows[name].up_to_date or (force and name in wanted) for name in trained)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _last_lines(log: TextIO) -> str:
    log.seek(0)
    lines = log.read().splitlines()[-LAST_LINES:]
    return "\n".join(["; its last lines:", *lines]) if lines else ""
