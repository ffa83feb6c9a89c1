"""Each check of `cascade doctor`, with something broken on purpose."""

import importlib.util
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from cascade.cli.doctor import machine, pipeline, software
from cascade.cli.doctor.check import Check, checks_json, checks_text
from cascade.cli.doctor.examine import examine
from cascade.cli.doctor.machine import GIB, MIB
from cascade.ensemble.config import ExportConfig, ServerConfig
from cascade.ensemble.server import runtime as triton_runtime
from cascade.ensemble.server.releases import running_servers
from cascade.workflows.config import FeatureStoreConfig
from cascade.workflows.features.online import ONLINE_FILE


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Install a program so that PATH finds it first."""
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    check = software.check_platform()
    assert (check.status, check.found) == ("fail", "Linux aarch64") and "x86_64" in check.advice


@pytest.mark.parametrize(("version", "status"), [((3, 11, 0), "ok"), ((3, 12, 1), "fail"), ((3, 10, 9), "fail")])
def test_python(version: tuple[int, ...], status: str) -> None:
    check = software.check_python(version)
    assert check.status == status and check.found == ".".join(map(str, version))


@pytest.mark.parametrize(
    ("requirement", "installed", "status", "found"),
    [
        ("numpy<2", "1.26.4", "ok", "1 packages"),
        ("numpy<2", "2.1.0", "fail", "numpy<2 (2.1.0)"),
        ("numpy<2", None, "fail", "numpy<2 (missing)"),
        ("numpy<2", "1.25.0", "warn", "numpy 1.25.0 (pinned 1.26.4)"),
        ("numpy<2; extra == 'gpu'", None, "ok", "0 packages"),
    ],
)
def test_pins(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    requirement: str,
    installed: str | None,
    status: str,
    found: str,
) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("# numpy==9\nnumpy==1.26.4\n")
    monkeypatch.setattr(metadata, "requires", lambda name: [requirement])
    versions = {"numpy": installed, "tensorflow": "2.21.0"}
    monkeypatch.setattr(software, "installed_version", versions.get)
    check = software.check_pins(constraints)
    assert check.status == status and check.found.startswith(found)
    assert bool(check.advice) == (status != "ok")


def test_the_gpu_build_of_tensorflow_may_replace_the_cpu_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["tensorflow-cpu"])
    monkeypatch.setattr(software, "installed_version", {"tensorflow": "2.21.0"}.get)
    assert software.check_pins(tmp_path / "none").status == "ok"


def test_this_environment_has_its_pins() -> None:
    assert software.check_pins().status != "fail"


def test_config(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("schema: {sparse: [user_id, item_id]}\nserving: {ann: {topk: 0}, rerank: {k: x}}\n")
    config, check = pipeline.check_config(file)
    assert config is None and check.status == "fail"
    assert "serving.ann.topk: is 0" in check.found and "\n" not in check.found
    file.write_text("schema: {sparse: [user_id, item_id]}")
    assert pipeline.check_config(file)[1].status == "ok"


def test_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    part = triton_runtime.Part("libpython", None, "install it")
    monkeypatch.setattr(triton_runtime, "runtime_parts", lambda: [part])
    assert pipeline.check_triton() == [Check("triton: libpython", "fail", "not found", "install it")]


def test_the_version_of_triton_is_told() -> None:
    check = pipeline.check_triton_version()
    assert check.status == "ok" and check.found.startswith("2.51.0 of nvidia-pytriton 0.7.0")


@pytest.mark.parametrize(("free", "status"), [(8 * MIB, "fail"), (32 * MIB, "warn"), (64 * MIB, "ok")])
def test_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, status: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    check = machine.check_shared_memory(tmp_path)
    assert check.status == status and f"{free // MIB} MiB" in check.found


def test_no_shared_memory(tmp_path: Path) -> None:
    assert machine.check_shared_memory(tmp_path / "none").status == "fail"


def test_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config, export = ServerConfig(http_port=0, grpc_port=port, metrics_port=0), ExportConfig()
        check = machine.check_ports(config, export)
        assert check.status == "fail" and str(port) in check.found
        assert "server.grpc_port" in check.advice
    assert machine.check_ports(ServerConfig(http_port=0, grpc_port=0, metrics_port=0), export).status == "ok"


LISTEN = """
import socket, sys
listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(one.getsockname()[1] for one in listeners), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def listen() -> Iterator[Callable[[int], list[int]]]:
    """Starts a child of a child that listens on so many ports; returns its parent and the ports."""
    with ExitStack() as ends:

        def start(number: int) -> list[int]:
            # The shell waits for the child, as `cascade serve` does for the process that has the port.
            command = ["sh", "-c", '"$0" -c "$1" "$2"; exit', sys.executable, LISTEN, str(number)]
            shell = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            ends.enter_context(shell)
            assert shell.stdout is not None
            return [shell.pid, *map(int, shell.stdout.readline().split())]

        yield start


def test_ports_of_a_server_of_this_model(monkeypatch: pytest.MonkeyPatch, listen: Callable[[int], list[int]]) -> None:
    pid, http, grpc = listen(2)
    config = ServerConfig(http_port=http, grpc_port=grpc, metrics_port=0)
    servers: list[SimpleNamespace] = []
    monkeypatch.setattr(running_servers, "servers_of", lambda repository, model: servers)

    servers[:] = [SimpleNamespace(pid=1, takes_hangup=False), SimpleNamespace(pid=pid, takes_hangup=True)]
    check = machine.check_ports(config, ExportConfig())
    assert check.status == "ok"
    expected = f"{http} (http), {grpc} (grpc) are in use by `cascade serve` of this model (process {pid})"
    assert check.found == expected

    servers[:] = [SimpleNamespace(pid=pid, takes_hangup=False)]  # as of `cascade bench --chaos`
    assert machine.check_ports(config, ExportConfig()).status == "fail"


def test_a_server_of_this_model_on_other_ports_has_not_taken_them(
    monkeypatch: pytest.MonkeyPatch, listen: Callable[[int], list[int]]
) -> None:
    pid, http = listen(1)
    servers = [SimpleNamespace(pid=pid, takes_hangup=True)]
    monkeypatch.setattr(running_servers, "servers_of", lambda repository, model: servers)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for its in (0, http):  # none of its ports is asked for; one is, and the other one is somebody else's
            config = ServerConfig(http_port=its, grpc_port=port, metrics_port=0)
            check = machine.check_ports(config, ExportConfig())
            assert check.status == "fail" and f"port {port} (grpc)" in check.found
            assert "server.grpc_port" in check.advice


@pytest.mark.parametrize(("hard", "status"), [(1024, "warn"), (65536, "ok"), (resource.RLIM_INFINITY, "ok")])
def test_descriptors(monkeypatch: pytest.MonkeyPatch, hard: int, status: str) -> None:
    """The soft limit does not matter: `cascade serve` raises it."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, hard))
    check = machine.check_descriptors()
    assert check.status == status and bool(check.advice) == (status == "warn")


def test_gpu_and_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(
        tmp_path, monkeypatch, "nvidia-smi", 'echo "NVIDIA H200, 570.1, 143771 MiB"; echo "NVIDIA H200, 570.1, 1 MiB"'
    )
    check = machine.check_gpu()
    assert check == Check("gpu", "ok", "NVIDIA H200, 143771 MiB, driver 570.1, 2 of them")


def test_a_driver_that_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(tmp_path, monkeypatch, "nvidia-smi", 'echo "Failed to initialize NVML" >&2; exit 18')
    check = machine.check_gpu()
    assert check.status == "warn" and "Failed to initialize NVML" in check.found


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.check_gpu().status == "ok"
    check = machine.check_gpu(wanted="serving.ann.type")
    assert check.status == "warn" and check.advice.startswith("serving.ann.type asks for a GPU")


@pytest.mark.parametrize(
    ("installed", "has_gpu", "status"), [(True, True, "ok"), (False, False, "ok"), (False, True, "warn")]
)
def test_cudf(monkeypatch: pytest.MonkeyPatch, installed: bool, has_gpu: bool, status: str) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if installed else None)
    assert software.check_cudf(has_gpu).status == status


def test_feast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = FeatureStoreConfig(repo=str(tmp_path / "repo"))
    check = pipeline.check_feast(store)
    assert check.status == "ok" and "`cascade run` makes the repository" in check.found
    (tmp_path / "repo").mkdir()
    check = pipeline.check_feast(store)
    assert check.status == "ok" and "no online store yet: `cascade run` makes it" in check.found
    (tmp_path / "repo" / ONLINE_FILE).parent.mkdir()
    (tmp_path / "repo" / ONLINE_FILE).touch()
    assert "makes" not in pipeline.check_feast(store).found
    (tmp_path / "file").touch()
    check = pipeline.check_feast(FeatureStoreConfig(repo=str(tmp_path / "file")))
    assert check.status == "fail" and "feature_store.repo" in check.advice
    monkeypatch.setattr(pipeline, "installed_version", lambda name: None)
    assert pipeline.check_feast(store).found == "not installed"


def test_redis() -> None:
    """That one is reached is tested with a real one, in tests/integration."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        address = f"127.0.0.1:{hung.getsockname()[1]}"
        check = pipeline.check_redis(FeatureStoreConfig(redis=f"{address},ssl=false"), timeout_s=0.05)
        assert check.status == "fail" and check.found.startswith(f"{address}: Timeout")
    check = pipeline.check_redis(FeatureStoreConfig(redis=address))
    assert check.status == "fail" and address in check.found and check.advice == "start Redis and run this again"


@pytest.mark.parametrize("mode", ["cluster", "sentinel"])
def test_a_redis_of_another_kind(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    monkeypatch.setattr("redis.Redis.info", lambda *_: {"redis_mode": mode})
    check = pipeline.check_redis(FeatureStoreConfig(redis="cache:1"))
    assert (check.status, check.found) == ("fail", f"cache:1 runs in the mode {mode}")
    assert check.advice.startswith("Redis Cluster and Sentinel are not supported")


@pytest.mark.parametrize(("free", "status"), [(GIB // 2, "fail"), (2 * GIB, "warn"), (6 * GIB, "ok")])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, status: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    assert machine.check_disk(tmp_path).status == status


def test_everything_is_examined_although_the_config_is_wrong(tmp_path: Path) -> None:
    names = [check.name for check in examine(tmp_path / "none.yaml")]
    for name in ("python", "pins", "config", "shared memory", "ports", "open files", "gpu", "cudf", "feast", "disk"):
        assert name in names


def test_redis_is_checked_if_the_store_uses_it(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text("schema: {sparse: [user_id, item_id]}\nfeature_store: {online: redis, redis: 'localhost:1'}")
    assert "redis" in [check.name for check in examine(file)]


def test_output() -> None:
    checks = [Check("python", "ok", "3.11.7"), Check("disk", "fail", "0 GiB", "free some")]
    assert checks_text(checks) == "ok    python  3.11.7\nfail  disk    0 GiB -> free some"
    assert json.loads(checks_json(checks))[1] == {
        "name": "disk",
        "status": "fail",
        "found": "0 GiB",
        "advice": "free some",
    }


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for folder, status in ((tmp_path / "new" / "cache", "ok"), (tmp_path / "file" / "cache", "fail")):
        monkeypatch.setenv("CASCADE_CACHE", str(folder))
        check = machine.check_cache()
        assert check.status == status and str(folder) in check.found and not folder.exists()
    assert "CASCADE_CACHE" in check.advice
