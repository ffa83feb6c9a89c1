"""The Triton runtime from the nvidia-pytriton wheel, in the folder layout that tritonserver expects.

The wheel has the server binary, the python backend and one stub per Python version. The stub runs python models. It is
linked against a shared libpython, which the wheel does not have.
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
from ...core.files import cache_folder
from ...core.merlin_env import restore_protobuf

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBPYTHON = f"libpython{PYTHON}.so.1.0"
STUB = "triton_python_backend_stub"
BUNDLED = {"0.7.0": "2.51.0"}
"""Version of the wheel -> that of the tritonserver in it, which does not tell it without being started."""

_WHEEL_ADVICE = "install it into this environment: pip install nvidia-pytriton (Linux x86-64 only)"
_LIBPYTHON_ADVICE = (
    f"use a Python {PYTHON} that has the shared library and build the environment again with it: Debian or Ubuntu "
    f"`apt install libpython{PYTHON}`, `uv python install {PYTHON}`, conda, or pyenv with "
    f"`PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {PYTHON}`"
)


@dataclass(frozen=True)
class Part:
    """One thing that the runtime needs. ``path`` is None if it is missing; ``advice`` says what to do then."""

    name: str
    path: Path | None
    advice: str


@dataclass(frozen=True)
class Runtime:
    """A complete runtime."""

    server: Path
    """The tritonserver binary."""
    backends: Path
    """Folder for ``--backend-directory``."""
    libraries: tuple[Path, ...]
    """Folders for LD_LIBRARY_PATH."""
    python_bin: Path
    """Folder whose ``python3`` the stub runs."""

    def environment(self) -> dict[str, str]:
        """The environment of this process, changed so that server and stubs find their libraries and this Python."""
        restore_protobuf()
        # Cached bytecode makes a stub start three times as fast, which matters when one is replaced.
        dropped = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")
        env = {k: v for k, v in os.environ.items() if k not in dropped}
        libraries = [*map(str, self.libraries), env.get("LD_LIBRARY_PATH", "")]
        env["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
        env["PATH"] = os.pathsep.join([str(self.python_bin), env.get("PATH", os.defpath)])
        return env


def runtime_parts() -> list[Part]:
    """All parts of the runtime, found or missing. Writes nothing."""
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
    """The shared library of this Python version: that of this interpreter, or else one in a system folder."""
    return next((folder / LIBPYTHON for folder in _libpython_folders() if (folder / LIBPYTHON).is_file()), None)


def assemble_runtime(cache: Path | None = None) -> Runtime:
    """The runtime, laid out in a folder of the cache; later calls for the same wheel reuse the folder.

    Args:
        cache: folder for it; by default that of ``cache_folder``.

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
        try:
            _lay_out(wheel, folder)
        except OSError as error:
            raise ServerError(
                f"Triton runtime: cannot write {folder} ({error.strerror}); set CASCADE_CACHE to a folder that can be "
                "written, or run `cascade serve` once as a user who can"
            ) from error
    return Runtime(
        server=folder / "bin" / "tritonserver",
        backends=folder / "backends",
        libraries=(found["nvidia_pytriton.libs"], found[LIBPYTHON].parent),
        python_bin=found["python3"].parent,
    )


def _lay_out(wheel: Path, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    shutil.rmtree(aside, ignore_errors=True)
    backend = aside / "backends" / "python"
    backend.mkdir(parents=True)
    (aside / "bin").mkdir()
    (aside / "bin" / "tritonserver").symlink_to(wheel / "bin" / "tritonserver")
    for file in (wheel / "backends" / "python").iterdir():
        (backend / file.name).symlink_to(file)
    # A copy, not a link: the stub looks for files in its own folder, which must be that of the backend.
    shutil.copy2(wheel / "python_backend_stubs" / PYTHON / STUB, backend / STUB)
    (backend / STUB).chmod(0o755)
    replace_folder(aside, folder)


def _complete(folder: Path) -> bool:
    files = ("bin/tritonserver", "backends/python/libtriton_python.so", f"backends/python/{STUB}")
    return all((folder / file).is_file() for file in files)


def triton_version() -> str:
    """The version of tritonserver in the wheel, and that of the wheel."""
    release = _wheel_version()
    return f"{BUNDLED.get(release, 'unknown')} of nvidia-pytriton {release}"


def _wheel_version() -> str:
    try:
        return version("nvidia-pytriton")
    except PackageNotFoundError:
        return "unknown"


def _wheel_key(wheel: Path) -> str:
    """A folder name that changes with the wheel's version and place and the Python version, so links stay valid."""
    release = _wheel_version()
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
