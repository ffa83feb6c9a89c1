"""What all tests share: the package as it ships, and pipelines that have run to the end."""

import os
import shutil
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest
from hypothesis import settings
from pipelines import build_pipeline, movielens, shop, strings, worker_root
from shipping import ROOT, clean_environment

from cascade.core import registry
from cascade.core.merlin_env import restore_protobuf

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads would only wait for each other
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

__all__ = ["build_pipeline", "movielens", "shop", "strings", "worker_root"]

# The first example may have to compile a kernel, and a machine may be busy. The examples are the same in every run, so
# that a commit passes or fails for good; others are looked for with --hypothesis-profile=explore.
settings.register_profile("cascade", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("cascade")

BUILD_SECONDS = 1500
"""What a test may take that has to build a pipeline first; more than the limit of every other test."""
SLOW_FOLDERS = {"integration", "benchmarks", "chaos"}
"""They start servers or time things."""
SHIPPED = ("pyproject.toml", "README.md", "LICENSE", "cascade")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in SLOW_FOLDERS:
            item.add_marker(pytest.mark.slow)
        if "build_pipeline" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))
            item.add_marker(pytest.mark.slow)
    place = {file: at for at, file in enumerate(in_order(items))}
    items.sort(key=lambda item: place[item.path])


def in_order(items: list[pytest.Item]) -> list[Path]:
    """Files in an order in which two workers are busy until the end and do not wait for each other's pipelines.

    The first file of each shared pipeline, which builds it, takes turns with slow files that need none of them. The
    other files that need one come later, quick ones last.
    """
    needs: dict[Path, set[str]] = {}
    for item in items:
        needs.setdefault(item.path, set()).update(getattr(item, "fixturenames", ()))
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    users = [file for file in needs if "build_pipeline" in needs[file]]
    pipelines = ("movielens", "shop", "strings")
    builders = [next((file for file in users if name in needs[file]), None) for name in pipelines]
    alone = [file for file in needs if file in slow and file not in users]
    first = [file for pair in zip_longest(builders, alone) for file in pair if file]
    return list(dict.fromkeys([*first, *users, *needs]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    restore_protobuf()  # test modules import Merlin, and tests start processes


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", {kind: {} for kind in registry.BUILT_IN})


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is built from, links resolved, so that nothing left over from an earlier build gets in."""
    folder = tmp_path_factory.mktemp("source")
    for name in SHIPPED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    build = subprocess.run([*pip, folder, source], env=clean_environment(), capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    return next(folder.glob("*.whl"))
