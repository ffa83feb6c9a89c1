"""Checks of the machine: shared memory, ports, GPU and disk."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from ...core.errors import ServerError
from ...core.files import cache_folder, can_be_written
from ...core.processes import ENOUGH_FILES, MORE_FILES, highest_file_limit
from ...ensemble.config import ExportConfig, ServerConfig
from ...ensemble.server.shared_memory import FOLDER as SHARED_MEMORY
from ...ensemble.server.shared_memory import free_bytes
from .check import Check

MIB, GIB = 2**20, 2**30
_SHM_REQUIRED, _SHM_ENOUGH = 16 * MIB, 64 * MIB
_DISK_REQUIRED, _DISK_ENOUGH = 1 * GIB, 5 * GIB
"""Bytes."""


def check_shared_memory(folder: Path = SHARED_MEMORY) -> Check:
    """Triton hands tensors to its Python processes through shared memory."""
    name, advice = "shared memory", "give the container more: docker run --shm-size=1g"
    free = free_bytes(folder)
    if free is None:
        return Check(name, "fail", f"no {folder}", f"mount a tmpfs at {folder}")
    found = f"{free / MIB:,.0f} MiB free in {folder}"
    if free < _SHM_REQUIRED:
        return Check(name, "fail", found, advice)
    return Check(name, "ok", found) if free >= _SHM_ENOUGH else Check(name, "warn", found, advice)


def check_ports(server: ServerConfig, export: ExportConfig) -> Check:
    """The ports of the config are free, or `cascade serve` of this model listens on those that are taken."""
    from ...ensemble.server.ports import claim_ports
    from ...ensemble.server.releases.running_servers import servers_of

    try:
        ports = claim_ports(server)
        return Check("ports", "ok", f"http {ports.http}, grpc {ports.grpc}, metrics {ports.metrics} are free")
    except ServerError as taken:
        error = taken
    wanted = {"http": server.http_port, "grpc": server.grpc_port, "metrics": server.metrics_port}
    for one in servers_of(Path(export.repository), export.model_name):
        listening = _listening(one.pid) if one.takes_hangup else set()
        held = {name: port for name, port in wanted.items() if port in listening}
        if not held:
            continue
        try:
            claim_ports(server.model_copy(update={f"{name}_port": 0 for name in held}))
        except ServerError as other:  # a further port is taken by somebody else
            error = other
            continue
        numbers = ", ".join(f"{port} ({name})" for name, port in held.items())
        verb = "is" if len(held) == 1 else "are"
        return Check("ports", "ok", f"{numbers} {verb} in use by `cascade serve` of this model (process {one.pid})")
    found, _, advice = str(error).partition("; ")
    return Check("ports", "fail", found, advice)


def _listening(pid: int) -> set[int]:
    """The TCP ports on which a process and its children listen; those of another user cannot be seen."""
    import psutil

    ports: set[int] = set()
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.Error):
                open_ones = one.net_connections("tcp")
                ports.update(each.laddr.port for each in open_ones if each.status == psutil.CONN_LISTEN)
    return ports


def check_descriptors() -> Check:
    """Each connection takes a file descriptor."""
    highest = highest_file_limit()
    found = f"at most {highest:,}"
    return (
        Check("open files", "ok", found) if highest >= ENOUGH_FILES else Check("open files", "warn", found, MORE_FILES)
    )


def check_gpu(wanted: str | None = None) -> Check:
    """GPU and driver, if the machine has them.

    Args:
        wanted: the config key that asks for a GPU; None if there is no such key.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        advice = f"{wanted} asks for a GPU: install NVIDIA's driver, or the CPU is used" if wanted else ""
        return Check("gpu", "warn" if wanted else "ok", "none, the CPU is used", advice)
    query = [tool, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    if answer.returncode or not lines:
        output = (answer.stdout + answer.stderr).strip().splitlines()
        found = f"nvidia-smi fails: {output[0] if output else f'exit code {answer.returncode}'}"
        return Check("gpu", "warn", found, "the CPU is used; repair the driver to use the GPU")
    name, driver, memory = re.split(r",\s*", lines[0], maxsplit=2)
    model = name if name.startswith("NVIDIA") else f"NVIDIA {name}"
    return Check("gpu", "ok", f"{model}, {memory}, driver {driver}" + (f", {len(lines)} of them" if lines[1:] else ""))


def check_cache() -> Check:
    """The cache folder can be written: downloads and the layout of Triton are kept there."""
    advice = "set CASCADE_CACHE to a folder that can be written"
    try:
        folder = cache_folder()
    except RuntimeError as error:  # there is no home folder
        return Check("cache", "fail", str(error), advice)
    if can_be_written(folder):
        return Check("cache", "ok", str(folder))
    return Check("cache", "fail", f"{folder} cannot be written", advice)


def check_disk(folder: Path) -> Check:
    """Free space for artifacts."""
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if free < _DISK_REQUIRED:
        return Check("disk", "fail", found, "free some: `cascade clean` shows what no release needs")
    return Check("disk", "ok", found) if free >= _DISK_ENOUGH else Check("disk", "warn", found, "enough for small data")
