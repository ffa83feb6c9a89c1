"""The Triton runtime out of the nvidia-pytriton wheel, laid out as tritonserver wants it.

The wheel holds the server binary, the python backend and one stub per Python version. A python model runs in the
stub, and the stub is linked against a shared libpython, which the wheel does not bring.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ...core.artifact import replace_folder
from ...core.errors import ServerError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBPYTHON = f"libpython{PYTHON}.so.1.0"
STUB = "triton_python_backend_stub"

_WHEEL_ADVICE = "install it into this environment: pip install nvidia-pytriton (Linux x86-64 only)"
_LIBPYTHON_ADVICE = (
    f"use a Python {PYTHON} that has the shared library and build the environment again with it: Debian or Ubuntu "
    f"`apt install libpython{PYTHON}`, `uv python install {PYTHON}`, conda, or pyenv with "
    f"`PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {PYTHON}`"
)


@dataclass(frozen=True)
class Part:
    """One thing that the runtime needs. ``path`` is None where it is missing; ``advice`` says what to do then."""

    name: str
    path: Path | None
    advice: str


@dataclass(frozen=True)
class Runtime:
    """A runtime that can be started."""

    server: Path
    """The tritonserver binary."""
    backends: Path
    """Folder for ``--backend-directory``."""
    libraries: tuple[Path, ...]
    """Folders for LD_LIBRARY_PATH."""
    python_bin: Path
    """Folder whose ``python3`` the stub runs."""

    def environment(self) -> dict[str, str]:
        """This process's environment, changed so that server and stubs find their libraries and this Python."""
        # Bytecode that is kept makes a stub start three times as fast, which counts when one has to be replaced.
        dropped = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
        env = {k: v for k, v in os.environ.items() if k not in dropped}
        libraries = [*map(str, self.libraries), env.get("LD_LIBRARY_PATH", "")]
        env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
        env["PATH"] = os.pathsep.join([str(self.python_bin), env.get("PATH", os.defpath)])
        return env


def runtime_parts() -> list[Part]:
    """Every part of the runtime, found or missing; writes nothing."""
    wheel, libraries = _wheel_folder(), _wheel_libraries()
    python_bin = Path(sys.executable).parent
    return [
        Part("tritonserver", _existing(wheel, "bin/tritonserver"), _WHEEL_ADVICE),
        Part("python backend", _existing(wheel, "backends/python/libtriton_python.so"), _WHEEL_ADVICE),
        Part(f"stub for Python {PYTHON}", _existing(wheel, f"python_backend_stubs/{PYTHON}/{STUB}"), _WHEEL_ADVICE),
        Part("nvidia_pytriton.libs", libraries, _WHEEL_ADVICE),
        Part(LIBPYTHON, find_libpython(), _LIBPYTHON_ADVICE),
        Part("python3", _existing(python_bin, "python3"), f"{python_bin} must hold python3, as every venv does"),
    ]


def find_libpython() -> Path | None:
    """The shared library of this Python version: beside this interpreter first, then where systems keep it."""
    return next((folder / LIBPYTHON for folder in _libpython_folders() if (folder / LIBPYTHON).is_file()), None)


def assemble_runtime(cache: Path | None = None) -> Runtime:
    """Lay the wheel out for tritonserver in a folder of the cache, once for each wheel; later calls reuse it.

    Args:
        cache: folder to keep it in; ``$CASCADE_CACHE`` or ``~/.cache/cascade`` by default.

    Raises:
        ServerError: naming the first missing part and what to do.
    """
    found = {}
    for part in runtime_parts():
        if part.path is None:
            raise ServerError(f"Triton runtime: {part.name} not found; {part.advice}")
        found[part.name] = part.path
    wheel = found["tritonserver"].parents[1]
    folder = (cache or cache_folder()) / "triton" / _wheel_key(wheel)
    if not _complete(folder):
        _lay_out(wheel, folder)
    return Runtime(
        server=folder / "bin" / "tritonserver",
        backends=folder / "backends",
        libraries=(found["nvidia_pytriton.libs"], found[LIBPYTHON].parent),
        python_bin=found["python3"].parent,
    )


def cache_folder() -> Path:
    """Where things that can be made again are kept: ``$CASCADE_CACHE``, else ``$XDG_CACHE_HOME/cascade``."""
    if "CASCADE_CACHE" in os.environ:
        return Path(os.environ["CASCADE_CACHE"]).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cascade"


def _lay_out(wheel: Path, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(aside, ignore_errors=True)
    backend = aside / "backends" / "python"
    backend.mkdir(parents=True)
    (aside / "bin").mkdir()
    (aside / "bin" / "tritonserver").symlink_to(wheel / "bin" / "tritonserver")
    for file in (wheel / "backends" / "python").iterdir():
        (backend / file.name).symlink_to(file)
    # A copy, not a link: the stub looks for what lies beside it, and that must be the backend.
    shutil.copy2(wheel / "python_backend_stubs" / PYTHON / STUB, backend / STUB)
    (backend / STUB).chmod(0o755)
    replace_folder(aside, folder)


def _complete(folder: Path) -> bool:
    files = ("bin/tritonserver", "backends/python/libtriton_python.so", f"backends/python/{STUB}")
    return all((folder / file).is_file() for file in files)


def _wheel_key(wheel: Path) -> str:
    """Changes with the wheel's version, its place and the Python version, so that no link points astray."""
    try:
        release = version("nvidia-pytriton")
    except PackageNotFoundError:
        release = "unknown"
    return f"{release}-py{PYTHON}-{hashlib.sha256(str(wheel).encode()).hexdigest()[:8]}"


def _wheel_folder() -> Path | None:
    # find_spec does not import pytriton, which would look for GPUs and libraries.
    spec = importlib.util.find_spec("pytriton")
    return Path(spec.origin).parent / "tritonserver" if spec is not None and spec.origin else None


def _wheel_libraries() -> Path | None:
    wheel = _wheel_folder()
    libraries = wheel.parents[1] / "nvidia_pytriton.libs" if wheel else None
    return libraries if libraries is not None and libraries.is_dir() else None


def _existing(folder: Path | None, file: str) -> Path | None:
    return folder / file if folder is not None and (folder / file).exists() else None


def _libpython_folders() -> Iterator[Path]:
    for name in ("LIBDIR", "LIBPL"):
        if value := sysconfig.get_config_var(name):
            yield Path(value)
    yield Path(sys.base_prefix) / "lib"
    system = [f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}", "/usr/lib64", "/usr/lib", "/usr/local/lib"]
    yield from map(Path, system)
