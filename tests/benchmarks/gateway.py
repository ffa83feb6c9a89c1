"""Measure what the HTTP gateway costs: requests per second, p50 and p95, through it, through Triton's own HTTP endpoint
and over gRPC, in turns. Triton's own endpoint is that of a second server, which is idle otherwise.

Run it from the repository's root after ``make demo``: ``.venv/bin/python tests/benchmarks/gateway.py``. Load comes from
perf_analyzer, unmodified, which takes CPU of the same machine.
"""

import csv
import statistics
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from cascade.bench.load.perf_tool import perf_tool
from cascade.config.load import config_with_origins
from cascade.ensemble.config import ServerConfig
from cascade.ensemble.gateway.process import GatewayProcess
from cascade.ensemble.gateway.settings import Settings
from cascade.ensemble.server.live_models import LiveModels
from cascade.ensemble.server.model_control import ModelControl
from cascade.ensemble.server.ports import claim_ports
from cascade.ensemble.server.triton_process import TritonProcess
from cascade.pipeline.stages import find

FREE = ServerConfig(http_port=0, grpc_port=0, metrics_port=0, standby=False)
LEVELS, ROUNDS, WINDOW_MS = (1, 8, 32), 5, 500


def drive(tool, protocol, url, model, concurrency, *more):
    """Requests per second, p50 and p95 in ms."""
    with tempfile.TemporaryDirectory() as folder:
        report, requests = Path(folder) / "report.csv", Path(folder) / "requests.json"
        requests.write_text(REQUESTS)
        command = [tool.binary, "-m", model, "-i", protocol, "-u", url, "--input-data", requests, "-s", "999"]
        command += ["--measurement-mode", "time_windows", "--max-trials", "6", "--measurement-interval", str(WINDOW_MS)]
        command += ["--concurrency-range", str(concurrency), "-f", report, "--verbose-csv", "-v", *more]
        done = subprocess.run(
            list(map(str, command)), env=tool.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        row = list(csv.DictReader(report.read_text().splitlines()))[-1]
    return float(row["Inferences/Second"]), float(row["p50 latency"]) / 1000, float(row["p95 latency"]) / 1000


def requests_of(users):
    import json

    return json.dumps({"data": [{"user_id": {"content": [int(user)], "shape": [1]}} for user in users]})


config, _ = config_with_origins(Path("pipeline.yaml"))
REQUESTS = requests_of(np.load(find(config, Path("runs"), "etl").path / "user_ids.npy")[:500])


@contextmanager
def served(model, repository, arguments=(), **options):
    """A server with two instances of the model."""
    environment = {"CASCADE_FEATURE_REPO": str(Path(config.feature_store.repo).absolute()), "OMP_NUM_THREADS": "1"}
    live = LiveModels(repository, model, 2)
    with tempfile.TemporaryDirectory() as folder:
        live.take(Path(folder) / "status")
        arguments = [f"--load-model={model}", *arguments]
        server = TritonProcess(live.repository, FREE, arguments=arguments, environment=environment, **options)
        try:
            server.start()
            with ModelControl(server.ports.grpc_url, model, 180, control_key=server.control_key) as control:
                server.wait_until(control.live, model)
                control.probe()
            yield server
        finally:
            server.stop()
            live.remove()


def main():
    tool, model, repository = perf_tool(), config.export.model_name, Path(config.export.repository)
    own = claim_ports(FREE)
    listen = ["--allow-http=true", f"--http-port={own.http}", "--http-address=127.0.0.1"]
    with (
        tempfile.TemporaryDirectory() as sockets,
        served(model, repository, sockets=Path(sockets)) as server,
        served(model, repository, arguments=listen),
        GatewayProcess(
            Settings(sockets, server.control_key),
            [("127.0.0.1", server.ports.http), ("127.0.0.1", own.metrics)],
        ) as gateway,
    ):
        server.wait_until(gateway.answers, "the gateway")
        ways = {
            "gRPC": ("grpc", server.ports.grpc_url),
            "Triton's HTTP": ("http", f"127.0.0.1:{own.http}"),
            "gateway": ("http", urlsplit(server.ports.http_url).netloc),
            "gateway, JSON": (
                "http",
                urlsplit(server.ports.http_url).netloc,
                "--input-tensor-format=json",
                "--output-tensor-format=json",
            ),
        }
        print("| in flight | | requests/s | p50 ms | p95 ms |\n|---|---|---|---|---|")
        for level in LEVELS:
            found = {name: [] for name in ways}
            for _ in range(ROUNDS):
                for name, (protocol, url, *more) in ways.items():
                    found[name].append(drive(tool, protocol, url, model, level, *more))
            for name, runs in found.items():
                rate, p50, p95 = (statistics.median(column) for column in zip(*runs, strict=True))
                print(f"| {level} | {name} | {rate:,.0f} | {p50:.2f} | {p95:.2f} |", flush=True)


main()
