"""Load by NVIDIA's perf_analyzer: one process for each setting, its CSV read back."""

from __future__ import annotations

import csv
import re
import resource
import subprocess
import tempfile
from pathlib import Path

from ...core.errors import ServerError
from .generator import Driven, Load
from .perf_tool import PerfTool

WINDOWS = 3
"""perf_analyzer measures at least three windows and reports them together."""
ANY_VARIATION = 999
"""Percent that windows may differ by. On a machine that does other work, too, smaller values never end."""
MOST_WINDOWS = 6
"""Tried, when windows in between saw no answer at all."""
THREAD_ERROR = re.compile(r"^Thread \[\d+\] had error: (.*)$", re.MULTILINE)
UNANSWERED = re.compile(r"^(?:No valid requests recorded|Failed to obtain stable measurement).*$", re.MULTILINE)
START_S = 60.0
"""How long perf_analyzer may take beyond its windows: reading requests, draining what is in flight."""


class PerfAnalyzer:
    """The generator. It ends at the first request that fails; ``errors`` then counts the threads that saw one."""

    name = "perf_analyzer"

    def __init__(self, tool: PerfTool) -> None:
        self.tool = tool

    def drive(self, url: str, model: str, requests: Path, load: Load) -> Driven:
        """See `Generator`.

        Raises:
            ServerError: if perf_analyzer fails for another reason than a request that failed.
        """
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.csv"
            command = [str(self.tool.binary), *_arguments(url, model, requests, load, report)]
            before = _children_cpu_s()
            try:
                done = subprocess.run(
                    command,
                    env=self.tool.environment(),
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=4 * load.seconds + START_S,
                )
            except subprocess.TimeoutExpired as error:
                text = f"perf_analyzer: no end after {error.timeout:.0f} s"
                return Driven(0.0, None, None, None, _children_cpu_s() - before, 1, text)
            cpu_s = _children_cpu_s() - before
            if report.is_file():
                return parse_csv(report.read_text(), load.batch, cpu_s)
        return _failure(done, cpu_s)


def _arguments(url: str, model: str, requests: Path, load: Load, report: Path) -> list[str]:
    arguments = ["-m", model, "-i", "grpc", "-u", url, "--input-data", str(requests), "-b", str(load.batch)]
    arguments += ["-s", str(ANY_VARIATION), "--measurement-mode", "time_windows"]
    arguments += [
        "--max-trials",
        str(MOST_WINDOWS),
        "--measurement-interval",
        str(round(1000 * load.seconds / WINDOWS)),
    ]
    arguments += ["-f", str(report), "--verbose-csv"]
    if load.mode == "concurrency":  # a thread for each request in flight takes less CPU than asynchronous calls
        return [*arguments, "--sync", "--concurrency-range", str(round(load.level))]
    # A synchronous thread that waits for an answer cannot send the next request: the loop would not be open.
    rate = ["--async", "--request-rate-range", f"{load.level:.2f}", "--request-distribution", "poisson"]
    return [*arguments, *rate]


def parse_csv(text: str, batch: int, cpu_s: float) -> Driven:
    """The last row of perf_analyzer's CSV: latencies in microseconds, throughput in users (inferences)."""
    row = list(csv.DictReader(text.splitlines()))[-1]
    p50, p95, p99 = (float(row[f"p{at} latency"]) / 1000 for at in (50, 95, 99))
    return Driven(float(row["Inferences/Second"]) / batch, p50, p95, p99, cpu_s)


def _failure(done: subprocess.CompletedProcess[str], cpu_s: float) -> Driven:
    said = (done.stderr + done.stdout).strip()
    if errors := THREAD_ERROR.findall(said) or UNANSWERED.findall(said):
        return Driven(0.0, None, None, None, cpu_s, len(errors), errors[0])
    lines = said.splitlines() or ["it said nothing"]
    raise ServerError(f"perf_analyzer ended with code {done.returncode}: {lines[-1]}")


def _children_cpu_s() -> float:
    """CPU seconds of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
