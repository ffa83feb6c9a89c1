"""Load by NVIDIA's perf_analyzer: one process for each load, whose CSV report is read."""

from __future__ import annotations

import csv
import re
import resource
import subprocess
import tempfile
from pathlib import Path

from ...core.errors import ServerError
from .generator import Load, LoadResult
from .perf_tool import PerfTool

WINDOWS = 3
"""perf_analyzer measures at least three time windows and reports their average."""
ANY_VARIATION = 999
"""Percent by which windows may differ. On a busy machine perf_analyzer would never finish with smaller values."""
MOST_WINDOWS = 6
"""Windows to try if some of them see no answer."""
THREAD_ERROR = re.compile(r"^Thread \[\d+\] had error: (.*)$", re.MULTILINE)
UNANSWERED = re.compile(r"^(?:No valid requests recorded|Failed to obtain stable measurement).*$", re.MULTILINE)
START_S = 60.0
"""Seconds that perf_analyzer may take beyond its windows: reading requests, waiting for the last answers."""


class PerfAnalyzer:
    """The generator. It ends at the first request that fails; ``errors`` is then the number of threads that saw one."""

    name = "perf_analyzer"

    def __init__(self, tool: PerfTool) -> None:
        self.tool = tool

    def drive(self, url: str, model: str, requests: Path, load: Load) -> LoadResult:
        """See `Generator`.

        Raises:
            ServerError: if perf_analyzer fails for a reason other than a failed request.
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
                text = f"perf_analyzer: not finished after {error.timeout:.0f} s"
                return LoadResult(0.0, None, None, None, _children_cpu_s() - before, 1, text)
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
    if load.mode == "concurrency":  # one thread for each request in flight takes less CPU than asynchronous calls
        return [*arguments, "--sync", "--concurrency-range", str(round(load.level))]
    # Asynchronous, since a thread that waits for an answer cannot send the next request on time.
    rate = ["--async", "--request-rate-range", f"{load.level:.2f}", "--request-distribution", "poisson"]
    return [*arguments, *rate]


def parse_csv(text: str, batch: int, cpu_s: float) -> LoadResult:
    """Read the last row of perf_analyzer's CSV, which has latencies in microseconds and throughput in users."""
    row = list(csv.DictReader(text.splitlines()))[-1]
    p50, p95, p99 = (float(row[f"p{at} latency"]) / 1000 for at in (50, 95, 99))
    return LoadResult(float(row["Inferences/Second"]) / batch, p50, p95, p99, cpu_s)


def _failure(done: subprocess.CompletedProcess[str], cpu_s: float) -> LoadResult:
    """The errors of requests that perf_analyzer has printed.

    Raises:
        ServerError: if it ended for another reason.
    """
    output = (done.stderr + done.stdout).strip()
    if errors := THREAD_ERROR.findall(output) or UNANSWERED.findall(output):
        return LoadResult(0.0, None, None, None, cpu_s, len(errors), errors[0])
    lines = output.splitlines() or ["no error message"]
    raise ServerError(f"perf_analyzer ended with code {done.returncode}: {lines[-1]}")


def _children_cpu_s() -> float:
    """CPU seconds of the child processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
