"""What a wheel, an sdist and an editable install hold, and that static tools see the same modules as Python."""

import ast
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from shipping import FOLDERS, LINKED, ROOT, clean_environment, modules, name_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
INSIDE_TRITON = {"triton_python_backend_utils"}
BESIDE_A_GPU = {"cudf", "cupy", "rmm"}
ONLY_IN_TESTS = {"pytest", "hypothesis"}
OPTIONAL = {"workflows/etl/text.py": "text"}
"""Module -> the extra whose packages it imports, too, inside the function that needs them."""

IMPORT_ALL = """
import importlib, pkgutil, sys
import cascade
LINKED = sys.argv[1:]
def fail(name): raise
names = [m.name for m in pkgutil.walk_packages(cascade.__path__, "cascade.", fail)]
for name in names:
    importlib.import_module(name)
bare = sorted(m for m in sys.modules if m.split(".")[0] in LINKED)
files = {}
for name, module in list(sys.modules.items()):
    if getattr(module, "__file__", None) and name.startswith("cascade"):
        files.setdefault(module.__file__, []).append(name)
twice = {file: names for file, names in files.items() if len(names) > 1}
print("COUNT", len(names), "BARE", bare, "TWICE", twice, "AT", cascade.__file__)
"""


def test_links_are_relative() -> None:
    """So that a clone works wherever it lies."""
    for name in LINKED:
        assert (ROOT / "cascade" / name).readlink() == Path("..") / name


def test_every_package_has_an_init() -> None:
    for file in modules():
        assert (file.parent / "__init__.py").is_file(), f"{file.parent} has no __init__.py"


def shipped_files() -> set[str]:
    """What has to be in a wheel, as it is named there."""
    wanted = set()
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                name = str(file.relative_to(ROOT))
                wanted.add(name if folder == "cascade" else f"cascade/{name}")
    return wanted


@pytest.mark.slow
def test_the_wheel_holds_every_file(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cascade/")}
    assert held == shipped_files()


def test_the_sdist_holds_every_file(source: Path, tmp_path: Path) -> None:
    code = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    build = subprocess.run(
        [sys.executable, "-c", code], cwd=source, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert build.returncode == 0, build.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert shipped_files() <= held


@pytest.mark.slow
def test_every_module_of_the_wheel_imports_under_one_name(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment that sees this one's libraries; it skips their .pth files, so not the editable install."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--no-compile", "--target", site, wheel]
    subprocess.run(pip, env=clean_environment(), check=True, capture_output=True)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    run = subprocess.run(
        [python, "-c", IMPORT_ALL, *LINKED],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    [line] = [line for line in run.stdout.splitlines() if line.startswith("COUNT")]
    below_cascade = sum(name.endswith(".py") for name in zipfile.ZipFile(wheel).namelist()) - 1
    assert line == f"COUNT {below_cascade} BARE [] TWICE {{}} AT {site / 'cascade' / '__init__.py'}"


@pytest.mark.slow
def test_nothing_inside_imports_itself_by_its_full_name() -> None:
    for file, name in imports():
        assert name.split(".")[0] != "cascade", f"{file}: imports {name}; inside the package imports are relative"


@pytest.mark.slow
def test_every_library_that_is_imported_is_declared() -> None:
    declared = {canonicalize_name(Requirement(text).name) for text in PROJECT["project"]["dependencies"]}
    providers = packages_distributions()
    missing = {}
    for file, name in imports():
        top = name.split(".")[0]
        if top in sys.stdlib_module_names or top in INSIDE_TRITON | BESIDE_A_GPU:
            continue
        if top in ONLY_IN_TESTS and "testing" in file.parts:
            continue
        by = {canonicalize_name(distribution) for distribution in providers.get(top, [top])}
        extra = PROJECT["project"]["optional-dependencies"].get(OPTIONAL.get(str(file.relative_to(ROOT))), ())
        if not by & (declared | {canonicalize_name(Requirement(text).name) for text in extra}):
            missing[top] = f"{file.relative_to(ROOT)} (from {', '.join(sorted(by))})"
    assert missing == {}


def imports() -> list[tuple[Path, str]]:
    """Every absolute import in the package, those inside of functions too."""
    found = []
    for file in modules():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found += [(file, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.append((file, str(node.module)))
    return found


def test_constraints_pin_everything_that_is_declared() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line) for line in lines)
    pinned = {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}
    extras = PROJECT["project"]["optional-dependencies"]
    for text in [*PROJECT["project"]["dependencies"], *(text for extra in extras.values() for text in extra)]:
        need = Requirement(text)
        assert need.specifier.contains(pinned[canonicalize_name(need.name)], prereleases=True), text


@pytest.fixture(scope="module")
def user_of_the_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file outside of the repository that imports one module of each folder."""
    folder = tmp_path_factory.mktemp("elsewhere")
    picked = {name_of(file).split(".")[1]: name_of(file) for file in modules() if len(name_of(file).split(".")) > 2}
    lines = [f"import {name}\nreveal_type({name}.__name__)" for name in picked.values()]
    (folder / "uses.py").write_text("\n".join(lines) + "\n")
    return folder / "uses.py"


def test_pyright_resolves_imports_in_an_editable_install(user_of_the_package: Path) -> None:
    """Go-to-definition, from anywhere, with no settings but which Python is used."""
    call = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, user_of_the_package]
    run = subprocess.run(call, cwd=user_of_the_package.parent, env=clean_environment(), capture_output=True, text=True)
    found = json.loads(run.stdout)["generalDiagnostics"]
    assert [each["message"] for each in found if each["severity"] == "error"] == []
    assert len(found) >= len(LINKED) and all('"str"' in each["message"] for each in found)


@pytest.mark.slow
def test_mypy_resolves_imports_in_an_editable_install(user_of_the_package: Path) -> None:
    """mypy from another folder takes the package for typed; what it reads of our own modules has no error."""
    call = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml", "--cache-dir", ROOT / ".mypy_cache"]
    run = subprocess.run(
        [*call, user_of_the_package],
        cwd=user_of_the_package.parent,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "import-not-found" not in run.stdout and "import-untyped" not in run.stdout, run.stdout
    assert run.returncode == 0, run.stdout
