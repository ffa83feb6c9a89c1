"""Reports times as ratios to a reference computation of the same run, next to the ratios in baseline.json.

``make bench`` measures. In an ordinary test run each benchmark is a single call whose answer is checked.
"""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

BASELINE = Path(__file__).with_name("baseline.json")
SLOWER = 2.0
"""A ratio that is this many times the one in baseline.json fails the run. Less is noise on shared machines."""
FOUND = pytest.StashKey[dict[str, float]]()


def pytest_configure(config):
    config.stash[FOUND] = {}


@pytest.fixture
def ratio(benchmark, request, reference_s):
    """A function that measures a call and records its median time as a multiple of the reference."""

    def measure(call):
        answer = benchmark(call)
        if not benchmark.disabled:
            name = request.node.name
            found = benchmark.stats.stats.median / reference_s
            benchmark.extra_info["ratio"] = request.config.stash[FOUND][name] = round(found, 3)
        return answer

    return measure


@pytest.fixture(scope="session")
def reference_s():
    """Median seconds of a matrix product, a sort and a gather of the size of a request."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(200, 64)).astype("f4"), rng.normal(size=(64, 128)).astype("f4")
    table, rows, keys = rng.normal(size=(20_000, 64)).astype("f4"), rng.integers(0, 20_000, 200), rng.normal(size=2000)
    took = []
    for _ in range(2000):
        start = time.perf_counter()
        left @ right, np.sort(keys), table[rows]
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def pytest_terminal_summary(terminalreporter, config):
    found = config.stash[FOUND]
    if not found:
        return
    written = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {}
    terminalreporter.section("ratio to the reference of this run, and the ratio in baseline.json")
    for name, value in found.items():
        mark = "  SLOWER" if _slower(value, written.get(name)) else ""
        terminalreporter.line(f"{name:<32} {value:8.2f} {written.get(name, float('nan')):8.2f}{mark}")
    if os.environ.get("WRITE_BASELINE"):
        BASELINE.write_text(json.dumps(found, indent=1) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    written = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {}
    if any(_slower(value, written.get(name)) for name, value in session.config.stash[FOUND].items()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _slower(value, written):
    return written is not None and value > SLOWER * written
