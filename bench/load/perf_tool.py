"""Downloads NVIDIA's perf_analyzer once into the user's cache.

The binary is part of the wheel of tritonclient 2.50.0, the last one that runs on glibc 2.36. That tritonclient needs
another version of protobuf than the pipeline, so the wheel is not installed: only the binary is extracted.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ...core.artifact import replace_folder
from ...core.errors import CascadeError
from ...core.files import cache_folder
from ...ensemble.server.runtime import runtime_parts
from ...workflows.sources.cache import check_sha256

REQUIREMENT = "tritonclient==2.50.0"
WHEEL = "tritonclient-2.50.0-py3-none-manylinux1_x86_64.whl"
WHEEL_SHA256 = "421fbb69ae6ab8cdb2c35b82134fcef2fe11e7af7718b1fcbc53335ab9bfe889"
MEMBER = "tritonclient-2.50.0.data/data/bin/perf_analyzer"
CUDART = "libcudart.so.12"


class NoPerfAnalyzerError(CascadeError):
    """perf_analyzer is not available; the message says why and what to do."""


@dataclass(frozen=True)
class PerfTool:
    """A perf_analyzer binary that has been started once."""

    binary: Path

    def environment(self) -> dict[str, str]:
        """This process's environment with the CUDA runtime on the library path. No GPU is needed."""
        libraries = [str(self.binary.parent), os.environ.get("LD_LIBRARY_PATH", "")]
        return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}


def perf_tool(cache: Path | None = None) -> PerfTool:
    """The binary, downloaded on first use.

    Args:
        cache: folder for the binary; ``$CASCADE_CACHE`` or ``~/.cache/cascade`` by default.

    Raises:
        NoPerfAnalyzerError: if it cannot be downloaded or does not start.
    """
    folder = (cache or cache_folder()) / "tools" / "perf_analyzer-2.50.0"
    tool = PerfTool(folder / "perf_analyzer")
    if not tool.binary.is_file():
        _fetch(folder)
    _link_cudart(folder)
    _check_starts(tool)
    return tool


def _fetch(folder: Path) -> None:
    """Extract the binary from the wheel that pip downloads, into a temporary folder that is then renamed."""
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        with tempfile.TemporaryDirectory() as downloads:
            wheel = _download(Path(downloads))
            check_sha256(wheel, WHEEL_SHA256)
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(MEMBER) as packed,
                (aside / "perf_analyzer").open("wb") as out,
            ):
                shutil.copyfileobj(packed, out)
        (aside / "perf_analyzer").chmod(0o755)
        replace_folder(aside, folder)
    except CascadeError as error:
        raise NoPerfAnalyzerError(str(error)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _download(folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise NoPerfAnalyzerError(f"this environment has no pip to download {WHEEL} with; install pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(folder), REQUIREMENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / WHEEL).is_file():
        reason = (done.stderr.strip().splitlines() or ["it downloaded another wheel"])[-1]
        raise NoPerfAnalyzerError(f"pip cannot download {WHEEL}: {reason}")
    return folder / WHEEL


def _link_cudart(folder: Path) -> None:
    """Link the CUDA runtime of Triton's wheel under the name that the binary expects."""
    libraries = next(part.path for part in runtime_parts() if part.name == "nvidia_pytriton.libs")
    found = next(iter(sorted((libraries or folder).glob("libcudart*.so.12*"))), None)
    link = folder / CUDART
    if found is None or (link.is_symlink() and link.resolve() == found.resolve()):
        return
    aside = folder / f".{CUDART}.{os.getpid()}"
    aside.symlink_to(found)
    aside.replace(link)


def _check_starts(tool: PerfTool) -> None:
    command = [str(tool.binary), "--version"]
    try:
        done = subprocess.run(command, env=tool.environment(), capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoPerfAnalyzerError(f"{tool.binary} does not start: {error}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        advice = "; Debian: apt-get install libb64-0d" if "libb64" in reason else ""
        raise NoPerfAnalyzerError(f"{tool.binary} does not start: {reason}{advice}")
