"""Whether this machine can run everything: one small check each, with what to do where it fails."""

from __future__ import annotations

import importlib.util
import json
import platform
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..config.load import load_config
from ..config.pipeline import PipelineConfig
from ..core.errors import ConfigError, ServerError
from ..ensemble.config import ServerConfig
from ..workflows.config import FeatureStoreConfig

if TYPE_CHECKING:
    from packaging.requirements import Requirement

Status = Literal["ok", "warn", "fail"]
DISTRIBUTION = "merlin-cascade"
CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"
SHARED_MEMORY = Path("/dev/shm")
MIB, GIB = 2**20, 2**30
_TWINS = {"tensorflow-cpu": "tensorflow"}
"""On a GPU machine the one takes the place of the other."""
_SHM_LEAST, _SHM_ENOUGH = 16 * MIB, 64 * MIB
_DISK_LEAST, _DISK_ENOUGH = 1 * GIB, 5 * GIB


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    status: Status
    found: str
    advice: str = ""
    """What to do; empty if it is ok."""


def examine(file: Path, sets: Sequence[str] = ()) -> list[Check]:
    """Every check, for the pipeline in ``file``."""
    config, configured = check_config(file, sets)
    server = config.server if config else ServerConfig()
    store = config.feature_store if config else FeatureStoreConfig()
    gpu = check_gpu(wanted=_wants_gpu(config))
    return [
        check_platform(),
        check_python(),
        check_pins(),
        configured,
        *check_triton(),
        check_shared_memory(),
        check_ports(server),
        gpu,
        check_cudf(has_gpu=gpu.found.startswith("NVIDIA")),
        check_feast(store),
        *([check_redis(store)] if store.online == "redis" else []),
        check_disk(Path.cwd()),
    ]


def as_text(checks: Sequence[Check]) -> str:
    """A line for each check."""
    width = max(len(check.name) for check in checks)
    return "\n".join(
        f"{check.status:<4}  {check.name:<{width}}  {check.found}{f' -> {check.advice}' if check.advice else ''}"
        for check in checks
    )


def as_json(checks: Sequence[Check]) -> str:
    return json.dumps([asdict(check) for check in checks], indent=2)


def check_platform() -> Check:
    """Triton's wheel exists for one platform."""
    found = f"{platform.system()} {platform.machine()}"
    if found == "Linux x86_64":
        return Check("platform", "ok", found)
    return Check("platform", "fail", found, "Triton's wheel is for Linux x86_64: use such a machine or container")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    found = ".".join(map(str, version))
    if version[:2] == (3, 11):
        return Check("python", "ok", found)
    return Check("python", "fail", found, "the pinned stack needs 3.11: make PYTHON=/path/to/python3.11 setup")


def check_pins(constraints: Path = CONSTRAINTS) -> Check:
    """Every dependency is there and allowed; where constraints.txt is at hand, it has the version named there."""
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    wanted = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    have = {need.name: _version(need.name) or _version(_TWINS.get(need.name, need.name)) for need in wanted}
    wrong = [f"{need} ({have[need.name] or 'missing'})" for need in wanted if not _meets(need, have[need.name])]
    if wrong:
        return Check("pins", "fail", ", ".join(wrong), "make setup installs the versions that work together")
    pins = _pins(constraints)
    other = [f"{name} {have[name]} (pinned {pins[name]})" for name in have if pins.get(name, have[name]) != have[name]]
    if other:
        return Check("pins", "warn", ", ".join(other), "not the tested versions; make setup installs those")
    return Check("pins", "ok", f"{len(wanted)} packages, all as pinned" if pins else f"{len(wanted)} packages")


def check_config(file: Path, sets: Sequence[str] = ()) -> tuple[PipelineConfig | None, Check]:
    """The config, None if it is not valid, and what is said about it."""
    try:
        config, _ = load_config(file, sets)
    except ConfigError as error:
        return None, Check(
            "config", "fail", str(error).replace("\n", "; "), "correct it, or name another with --config"
        )
    return config, Check("config", "ok", str(file))


def check_triton() -> list[Check]:
    """One check for each part that a server is put together from."""
    from ..ensemble.server.runtime import runtime_parts

    return [
        Check(f"triton: {part.name}", "ok", str(part.path))
        if part.path is not None
        else Check(f"triton: {part.name}", "fail", "not found", part.advice)
        for part in runtime_parts()
    ]


def check_shared_memory(folder: Path = SHARED_MEMORY) -> Check:
    """Triton hands tensors to its Python processes through shared memory."""
    name, advice = "shared memory", "give the container more: docker run --shm-size=1g"
    if not folder.is_dir():
        return Check(name, "fail", f"no {folder}", "mount a tmpfs there")
    free = shutil.disk_usage(folder).free
    found = f"{free / MIB:,.0f} MiB free in {folder}"
    if free < _SHM_LEAST:
        return Check(name, "fail", found, advice)
    return Check(name, "ok", found) if free >= _SHM_ENOUGH else Check(name, "warn", found, advice)


def check_ports(server: ServerConfig) -> Check:
    from ..ensemble.server.ports import claim_ports

    try:
        ports = claim_ports(server)
    except ServerError as error:
        found, _, advice = str(error).partition("; ")
        return Check("ports", "fail", found, advice)
    return Check("ports", "ok", f"http {ports.http}, grpc {ports.grpc}, metrics {ports.metrics} are free")


def check_gpu(wanted: str | None = None) -> Check:
    """GPU and driver, if there are any.

    Args:
        wanted: the config key that asks for a GPU, if one does.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        advice = f"{wanted} asks for a GPU: install NVIDIA's driver, or the CPU is used" if wanted else ""
        return Check("gpu", "warn" if wanted else "ok", "none, the CPU is used", advice)
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    if answer.returncode or not lines:
        said = (answer.stdout + answer.stderr).strip().splitlines()
        found = f"nvidia-smi fails: {said[0] if said else f'exit code {answer.returncode}'}"
        return Check("gpu", "warn", found, "the CPU is used; repair the driver to use the GPU")
    name, driver, memory = re.split(r",\s*", lines[0], maxsplit=2)
    model = name if name.startswith("NVIDIA") else f"NVIDIA {name}"
    return Check("gpu", "ok", f"{model}, {memory}, driver {driver}" + (f", {len(lines)} of them" if lines[1:] else ""))


def check_cudf(has_gpu: bool) -> Check:
    """cuDF cannot join the pinned packages, so its absence beside a GPU is worth a word and no more."""
    if importlib.util.find_spec("cudf") is not None:
        return Check("cudf", "ok", _version("cudf") or "there")
    if has_gpu:
        return Check("cudf", "warn", "none, the ETL uses pandas", "run the ETL in NVIDIA's Merlin container to use it")
    return Check("cudf", "ok", "none, the ETL uses pandas")


def check_feast(store: FeatureStoreConfig) -> Check:
    version = _version("feast")
    if version is None:
        return Check("feast", "fail", "not installed", "make setup")
    file = Path(store.repo) / "feature_store.yaml"
    if not file.is_file():
        advice = "run from the folder that holds it, or set feature_store.repo"
        return Check("feast", "fail", f"{version}, no {file}", advice)
    return Check("feast", "ok", f"{version}, repository {store.repo}, online store {store.online}")


def check_redis(store: FeatureStoreConfig, timeout_s: float = 2.0) -> Check:
    """Whether something answers at the first address of Feast's connection string."""
    host, _, port = store.redis.split(",")[0].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout_s):
            return Check("redis", "ok", store.redis.split(",")[0])
    except (OSError, ValueError) as error:
        advice = "start redis-server, or set feature_store.redis to host:port"
        return Check("redis", "fail", f"{store.redis.split(',')[0]}: {error}", advice)


def check_disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if free < _DISK_LEAST:
        return Check("disk", "fail", found, "free some: `runs/` holds every artifact ever made and may be deleted")
    return Check("disk", "ok", found) if free >= _DISK_ENOUGH else Check("disk", "warn", found, "enough for small data")


def _wants_gpu(config: PipelineConfig | None) -> str | None:
    """The key that asks for a GPU."""
    if config is None:
        return None
    asks = {
        "serving.ann.type": config.serving.ann.type.startswith("gpu_"),
        "etl.device": config.etl.device == "gpu",
        "etl.scheduler": config.etl.scheduler == "cuda",
    }
    return next((key for key, asked in asks.items() if asked), None)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _pins(file: Path) -> dict[str, str]:
    """Name -> version of a constraints file; empty where the package was installed without one."""
    lines = file.read_text().splitlines() if file.is_file() else []
    pairs = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name: version.strip() for name, _, version in pairs}


def _meets(need: Requirement, version: str | None) -> bool:
    return version is not None and need.specifier.contains(version, prereleases=True)
