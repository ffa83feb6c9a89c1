"""Our own load generator, used if perf_analyzer is not available.

It runs in a separate process, so that its CPU time can be measured separately.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from ...core.errors import ServerError
from .generator import Load, LoadResult

START_S = 60.0
"""Seconds that the process may take beyond the load: imports, reading requests, waiting for the last answers."""


class OwnGenerator:
    """Starts the process of `send`. It continues after a request that failed, and counts the failures."""

    name = "cascade"

    def drive(self, url: str, model: str, requests: Path, load: Load) -> LoadResult:
        """See `Generator`.

        Raises:
            ServerError: if the process fails, e.g. because no server answers.
        """
        job = {"url": url, "model": model, "requests": str(requests), "load": asdict(load)}
        command = [sys.executable, "-m", "cascade.bench.load.send", json.dumps(job)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=load.seconds + START_S)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"load generator: not finished after {error.timeout:.0f} s at {load}") from error
        if done.returncode:
            raise ServerError(f"load generator: {(done.stderr.strip().splitlines() or ['no error message'])[-1]}")
        return LoadResult(**json.loads(done.stdout))
