"""What the wheel holds: models/ on disk is cascade.models on import, and an editable install forgives a lot."""

import ast
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from shipping import ROOT, clean_environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
FOLDERS = {Path(folder): name for name, folder in SETUPTOOLS["package-dir"].items()}
INSIDE_TRITON = {"triton_python_backend_utils"}
BESIDE_A_GPU = {"cudf", "cupy", "rmm"}
ONLY_IN_TESTS = {"pytest", "hypothesis"}
OPTIONAL = {"workflows/content.py": "text"}
"""Module -> the extra whose packages it imports, too, inside the function that needs them."""

IMPORT_ALL = """
import importlib, pkgutil, sys
import cascade
def fail(name): raise
names = [m.name for m in pkgutil.walk_packages(cascade.__path__, "cascade.", fail)]
for name in names:
    importlib.import_module(name)
bare = sorted(m for m in sys.modules if m.split(".")[0] in ("workflows", "models", "ensemble"))
files = {}
for name, module in list(sys.modules.items()):
    if getattr(module, "__file__", None) and name.startswith("cascade"):
        files.setdefault(module.__file__, []).append(name)
twice = {file: names for file, names in files.items() if len(names) > 1}
print("COUNT", len(names), "BARE", bare, "TWICE", twice, "AT", cascade.__file__)
"""


def test_packages_are_the_folders_that_hold_modules() -> None:
    on_disk = set()
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            on_disk.add(".".join((package, *file.parent.relative_to(ROOT / folder).parts)))
    assert sorted(SETUPTOOLS["packages"]) == sorted(on_disk)


def test_every_package_has_an_init() -> None:
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), f"{file.parent} has no __init__.py"


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("cascade/")}
    wanted = set()
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                wanted.add(f"{package.replace('.', '/')}/{file.relative_to(ROOT / folder)}")
    assert held == wanted


def test_every_module_of_the_wheel_imports_under_one_name(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment that sees this one's libraries; it skips their .pth files, so not the editable install."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = next((tmp_path / "venv" / "lib").glob("python*")) / "site-packages"
    pip = [sys.executable, "-m", "pip", "--quiet", "install", "--no-deps", "--no-compile", "--target", site, wheel]
    subprocess.run(pip, env=clean_environment(), check=True, capture_output=True)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    run = subprocess.run(
        [python, "-c", IMPORT_ALL], cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    [line] = [line for line in run.stdout.splitlines() if line.startswith("COUNT")]
    below_cascade = sum(name.endswith(".py") for name in zipfile.ZipFile(wheel).namelist()) - 1
    assert line == f"COUNT {below_cascade} BARE [] TWICE {{}} AT {site / 'cascade' / '__init__.py'}"


def test_nothing_inside_imports_itself_by_its_full_name() -> None:
    for file, name in imports():
        assert name.split(".")[0] != "cascade", f"{file}: imports {name}; inside the package imports are relative"


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
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*.py")):
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
