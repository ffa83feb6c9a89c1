"""Our own load generator, where perf_analyzer cannot be had: a process of its own, so that its CPU time is apart."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from ...core.errors import ServerError
from .generator import Driven, Load

START_S = 60.0
"""How long the process may take beyond the load itself: imports, reading requests, draining what is in flight."""


class OwnGenerator:
    """The generator; it goes on when a request fails, and counts the failures."""

    name = "cascade"

    def drive(self, url: str, model: str, requests: Path, load: Load) -> Driven:
        """See `Generator`.

        Raises:
            ServerError: if the process fails, e.g. as the server is not there.
        """
        job = {"url": url, "model": model, "requests": str(requests), "load": asdict(load)}
        command = [sys.executable, "-m", "cascade.bench.load.send", json.dumps(job)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=load.seconds + START_S)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"load generator: no end after {error.timeout:.0f} s at {load}") from error
        if done.returncode:
            raise ServerError(f"load generator: {(done.stderr.strip().splitlines() or ['it said nothing'])[-1]}")
        return Driven(**json.loads(done.stdout))
