"""`cascade run --workers N`: N processes on this machine that train together. If one fails, all are ended."""

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
from ..core.merlin_env import restore_protobuf
from ..core.processes import end_group, end_with_parent
from ..models.training.tf_config import VARIABLE, tf_config
from .stages import all_stages, plan, with_parents

GRACE_S = 5.0
"""How long a worker may take to end after SIGTERM, seconds."""
LEAVE_S = 30.0
"""How long the other workers may take to end after the chief, seconds."""
LAST_LINES = 20
"""Lines of a failed worker's output that are shown."""
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
COMMAND = [sys.executable, "-c", "from cascade.cli.main import main; main()"]


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run ``cascade <arguments>`` in ``count`` workers. The first is the chief; only its output is shown.

    Returns:
        The exit code of the chief.

    Raises:
        ConfigError: ``TF_CONFIG`` is set, which already names the workers.
        WorkerError: a worker failed; with the last lines of its output.
    """
    if os.environ.get(VARIABLE):
        raise ConfigError(f"--workers: starts its own workers, but {VARIABLE} already names the workers: leave one out")
    restore_protobuf()
    with ExitStack() as stack:
        logs = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(count)]
        addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
        workers = [stack.enter_context(_worker(at, addresses, arguments, logs[at])) for at in range(count)]
        for worker in workers:
            stack.callback(worker.terminate)  # terminate all before waiting for any
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
    """A worker in its own process group, which is ended with the context, or when this process ends."""
    output = None if index == 0 else log
    worker = subprocess.Popen(
        [*end_with_parent(), *COMMAND, *arguments],
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
    """Environment of one worker: its ``TF_CONFIG``, and its share of the cores unless ``base`` sets that."""
    threads = str(max(1, len(os.sched_getaffinity(0)) // len(addresses)))
    return {**dict.fromkeys(THREADS, threads), **base, VARIABLE: tf_config(addresses, index)}


def trains(config: PipelineConfig, runs: Path, only: Sequence[str], force: bool) -> bool:
    """Whether ``cascade run`` would train a model; if not, more workers would have nothing to do."""
    stages = all_stages()
    wanted = list(only) or [stage.name for stage in stages]
    needed = with_parents(stages, wanted)
    rows = {row.stage: row for row in plan(config, runs, stages)}
    trained = [stage.name for stage in stages if stage.take_part is not None and stage.name in needed]
    return any(not rows[name].up_to_date or (force and name in wanted) for name in trained)


def free_ports(count: int) -> list[int]:
    """Different ports on which nobody listens now."""
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
