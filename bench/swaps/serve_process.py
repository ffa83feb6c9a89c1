"""`cascade serve` as a process of its own, so that the load and what serves do not share Python's global lock."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ...core.errors import ServerError
from ...core.processes import end_with_parent

MAIN = "from cascade.cli.entry import main; main()"
_FREE_PORTS = ["--http-port=0", "--grpc-port=0", "--metrics-port=0"]
_STOP_S = 60.0


@contextmanager
def cascade_serve(arguments: Sequence[str], log: Path) -> Iterator[str]:
    """Run it on free ports; yields ``host:port`` of its gRPC endpoint.

    Args:
        arguments: of the command, after ``serve``.
        log: file for what it writes to stderr.

    Raises:
        ServerError: it has ended before it was ready.
    """
    command = [*end_with_parent(), sys.executable, "-c", MAIN, "serve", *_FREE_PORTS, *arguments]
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            ready = re.search(r"grpc (\S+),", process.stdout.readline())
            if ready is None:
                raise ServerError(f"`cascade serve` has ended: {log.read_text().strip() or 'it wrote nothing'}")
            yield ready[1]
        finally:
            process.terminate()
            process.wait(_STOP_S)
