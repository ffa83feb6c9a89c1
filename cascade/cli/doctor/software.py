"""Checks of the platform, Python and its packages."""

from __future__ import annotations

import importlib.util
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from .check import Check, installed_version

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "merlin-cascade"
CONSTRAINTS = Path(__file__).resolve().parents[3] / "constraints.txt"
_SUBSTITUTES = {"tensorflow-cpu": "tensorflow"}
"""Required distribution -> the one that is installed instead on a machine with a GPU."""


def check_platform() -> Check:
    """Triton's wheel exists for one platform only."""
    found = f"{platform.system()} {platform.machine()}"
    if found == "Linux x86_64":
        return Check("platform", "ok", found)
    return Check("platform", "fail", found, "Triton's wheel is for Linux x86_64: use such a machine or container")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    """The pinned packages exist for Python 3.11 only."""
    found = ".".join(map(str, version))
    if version[:2] == (3, 11):
        return Check("python", "ok", found)
    return Check("python", "fail", found, "the pinned packages need 3.11: make PYTHON=/path/to/python3.11 setup")


def check_pins(constraints: Path = CONSTRAINTS) -> Check:
    """Every dependency is installed in an allowed version, and in the pinned one if ``constraints`` exists."""
    from packaging.requirements import Requirement

    required = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    required = [need for need in required if need.marker is None or need.marker.evaluate({"extra": ""})]
    versions = {need.name: _version(need.name) for need in required}
    wrong = [f"{need} ({versions[need.name] or 'missing'})" for need in required if not _meets(need, versions)]
    if wrong:
        return Check("pins", "fail", ", ".join(wrong), "make setup installs the versions that work together")
    pins = _pins(constraints)
    other = [f"{name} {have} (pinned {pins[name]})" for name, have in versions.items() if pins.get(name, have) != have]
    if other:
        return Check("pins", "warn", ", ".join(other), "not the tested versions; make setup installs those")
    return Check("pins", "ok", f"{len(required)} packages, all as pinned" if pins else f"{len(required)} packages")


def check_cudf(has_gpu: bool) -> Check:
    """cuDF conflicts with the pinned packages, so its absence is at most a warning, and only beside a GPU."""
    if importlib.util.find_spec("cudf") is not None:
        return Check("cudf", "ok", installed_version("cudf") or "installed")
    if has_gpu:
        return Check("cudf", "warn", "none, the ETL uses pandas", "run the ETL in NVIDIA's Merlin container to use it")
    return Check("cudf", "ok", "none, the ETL uses pandas")


def _version(distribution: str) -> str | None:
    """The version of a distribution or of its substitute."""
    return installed_version(distribution) or installed_version(_SUBSTITUTES.get(distribution, distribution))


def _meets(need: Requirement, versions: dict[str, str | None]) -> bool:
    version = versions[need.name]
    return version is not None and need.specifier.contains(version, prereleases=True)


def _pins(file: Path) -> dict[str, str]:
    """Name -> version in a constraints file; empty if there is no such file, as beside an installed wheel."""
    lines = file.read_text().splitlines() if file.is_file() else []
    pairs = (line.partition("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name: version.strip() for name, _, version in pairs}
