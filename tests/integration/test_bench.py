"""Load on a real server: both generators, the sweep, the soak, and the command from end to end."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from pipelines import Pipeline
from shipping import clean_environment

from cascade.bench.load.generator import Load
from cascade.bench.load.own_generator import OwnGenerator
from cascade.bench.load.perf_analyzer import PerfAnalyzer
from cascade.bench.load.perf_tool import NoPerfAnalyzerError, perf_tool
from cascade.bench.load.sweep import LoadSchedule
from cascade.bench.load.workload import Workload
from cascade.bench.probe import Probe
from cascade.bench.run import BenchOptions, run
from cascade.bench.targets import ExportedPipeline, Target, running_server
from cascade.config.load import config_with_origins
from cascade.core.artifact import write_artifact
from cascade.core.errors import ConfigError, ServerError
from cascade.ensemble.server.server import TritonServer

KNOWN = np.arange(100, 120)
WORKLOAD = Workload(top_k=6, requests=256)
SCHEMA = "schema: { dense: [], sparse: [user_id, item_id] }\n"


def analyzer() -> PerfAnalyzer:
    try:
        return PerfAnalyzer(perf_tool())
    except NoPerfAnalyzerError as error:
        pytest.skip(str(error))


@pytest.fixture(params=[OwnGenerator, analyzer], ids=["cascade", "perf_analyzer"])
def generator(request):
    return request.param()


@pytest.fixture
def requests(tmp_path):
    WORKLOAD.write(KNOWN, tmp_path / "requests.json")
    return tmp_path / "requests.json"


@pytest.fixture
def target(server):
    return Target(server.grpc_url, server.model, server.metrics_url, server.pid)


@pytest.fixture
def pipeline(repository, tmp_path):
    """The miniature in the place of a pipeline."""
    (tmp_path / "pipeline.yaml").write_text(SCHEMA)
    own = [f"export.repository={repository}", f"feature_store.repo={repository}"]
    config, _ = config_with_origins(tmp_path / "pipeline.yaml", own, {})
    etl = write_artifact(tmp_path / "etl", "etl", {}, lambda folder: np.save(folder / "user_ids.npy", KNOWN))
    return ExportedPipeline(config, {"etl": etl}.__getitem__)


@pytest.mark.parametrize("load", [Load("concurrency", 3, 1, 1.5), Load("concurrency", 2, 8, 1.5)], ids=str)
def test_both_sides_count_the_same_requests(target, generator, requests, load):
    with Probe(target) as probe:
        before = probe.snapshot()
        result = generator.drive(target.url, target.model, requests, load)
        interval = probe.since(before)
    assert (result.errors, result.error, interval.failed) == (0, "", 0)
    counted = interval.after.users - interval.before.users
    assert 0 <= interval.requests * load.batch - counted <= 2 * (load.batch - 1)  # a probe asks for one user
    # perf_analyzer goes on for a moment before, between and after its windows.
    assert 0.3 * interval.requests <= result.requests_per_s * load.seconds <= 1.01 * interval.requests
    assert 0 < result.p50_ms <= result.p95_ms <= result.p99_ms
    assert result.cpu_s > 0 and interval.cpu_ms_per_request > 0
    assert interval.effective_batch > 0.9 * load.batch


def test_an_open_loop_sends_as_many_as_it_is_told(target, generator, requests):
    result = generator.drive(target.url, target.model, requests, Load("rate", 15, 1, 4))
    assert (result.errors, result.error) == (0, "")
    assert result.requests_per_s == pytest.approx(15, rel=0.5)  # 60 arrivals, give or take 8


def test_requests_that_the_model_refuses_are_errors(target, generator, tmp_path):
    dataclasses.replace(WORKLOAD, top_k=13).write(KNOWN, tmp_path / "requests.json")
    result = generator.drive(target.url, target.model, tmp_path / "requests.json", Load("concurrency", 2, 1, 2))
    assert result.errors >= 1 and result.requests_per_s == 0 and result.p50_ms is None
    assert "top_k: expected 1 to 12, got 13" in result.error


def test_a_model_that_is_not_there_is_no_load(target, generator, requests):
    with pytest.raises(ServerError):
        generator.drive(target.url, "another", requests, Load("concurrency", 1, 1, 0.5))


@pytest.fixture(scope="module")
def text_server(string_repository, free):
    with TritonServer(string_repository, "cascade", feature_repo=string_repository, config=free) as running:
        yield running


def test_ids_of_text(text_server, generator, tmp_path):
    WORKLOAD.write(np.array([f"u{user}" for user in KNOWN]), tmp_path / "requests.json")
    result = generator.drive(
        text_server.grpc_url, "cascade", tmp_path / "requests.json", Load("concurrency", 2, 4, 1.5)
    )
    assert (result.errors, result.error) == (0, "") and result.requests_per_s > 0


def test_a_bench_of_the_miniature(pipeline, nothing_left, monkeypatch):
    monkeypatch.setattr("cascade.bench.run.choose_generator", lambda: (OwnGenerator(), ["told so"]))
    options = BenchOptions(["fused"], LoadSchedule((1, 4), (1, 2), None, 1.0, 0.3), WORKLOAD, soak_s=3.5, soak_load=0.3)
    seen = []
    found = run(pipeline, options, seen.append)
    assert (found.generator, found.notes) == ("cascade", ["told so"])
    assert found.points == seen[:-1] and len(seen) == options.points == 14 + 1  # the last is the soak's
    assert {(point.layout, point.errors) for point in seen} == {("fused", 0)}
    assert all({"rank", "total"} <= set(point.stages_ms) for point in seen)
    processes = found.memory_mb["fused"]["processes"]
    assert "tritonserver" in processes and "cascade#1" in processes
    assert found.memory_mb["fused"]["pss"] <= found.memory_mb["fused"]["rss"]
    assert found.startup_s["fused"] > 0
    best = max(point.requests_per_s for point in seen if point.mode == "concurrency" and point.batch == 1)
    assert found.soak["rate"] == pytest.approx(0.3 * best, abs=0.1) and found.soak["errors"] == 0
    assert set(found.soak["memory_ratio"]) >= {"total", "pss", "tritonserver", "cascade#1"}
    assert json.dumps(found.to_json(), allow_nan=False)


def test_a_server_that_runs_already_is_taken(server, pipeline, monkeypatch):
    monkeypatch.setattr("cascade.bench.run.choose_generator", lambda: (OwnGenerator(), []))
    schedule = LoadSchedule((1,), (2,), (), 3.0, 0.5)
    options = BenchOptions([], schedule, WORKLOAD, url=server.grpc_url, metrics_url=server.metrics_url)
    found = run(pipeline, options)
    [point] = found.points
    assert (point.layout, point.errors, found.startup_s) == ("fused", 0, {})
    assert point.cpu_ms_per_request > 0  # its process was found by its port
    assert psutil.pid_exists(server.pid)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(ServerError, match="127.0.0.1:1"):
        running_server("127.0.0.1:1", "cascade", None)
    with pytest.raises(ConfigError, match="--url nowhere: expected HOST:PORT"):
        running_server("nowhere", "cascade", None)


def test_the_command_from_end_to_end(shop: Pipeline, tmp_path: Path):
    page = tmp_path / "page.html"
    flags = ["--concurrency", "2", "--rate", "20", "--batch", "1", "--seconds", "2", "--warmup", "0.3"]
    flags += ["--layout", "fused", "--layout", "ensemble"]
    code = "from cascade.cli.main import main; main()"
    call = [sys.executable, "-c", code, "bench", *flags, "--json", "--html", str(page)]
    done = subprocess.run(
        call,
        cwd=shop.folder,
        env=clean_environment() | shop.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert [(point["layout"], point["mode"], point["level"], point["errors"]) for point in shown["points"]] == [
        ("fused", "concurrency", 2, 0),
        ("fused", "rate", 20.0, 0),
        ("ensemble", "concurrency", 2, 0),
        ("ensemble", "rate", 20.0, 0),
    ]
    assert set(shown["memory_mb"]) == set(shown["startup_s"]) == {"fused", "ensemble"}
    assert shown["generator"] in ("perf_analyzer", "cascade")
    assert json.loads((shop.runs / "bench" / "last.json").read_text()) == shown
    assert "Load test of the served model" in page.read_text()
