"""Import direction is data-flow direction, checked on the package as it ships."""

import os
import subprocess
import sys
from pathlib import Path

from shipping import ROOT, clean_environment


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).parent / "lint-imports"
    call = [tool, "--config", ROOT / "pyproject.toml", "--no-cache"]
    env = clean_environment() | {"PYTHONPATH": os.fspath(folder)}
    return subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_imports_go_one_way(shipped: Path) -> None:
    result = lint_imports(shipped)
    assert result.returncode == 0, result.stdout + result.stderr


def test_an_import_against_the_direction_is_found(shipped: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", shipped / "cascade", tmp_path], check=True)
    with (tmp_path / "cascade" / "workflows" / "config.py").open("a") as file:
        file.write("\nfrom ..models import config\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1 and "cascade.workflows.config -> cascade.models.config" in result.stdout


def test_a_heavy_import_in_an_op_is_found(shipped: Path, tmp_path: Path) -> None:
    subprocess.run(["cp", "-r", shipped / "cascade", tmp_path], check=True)
    with (tmp_path / "cascade" / "ensemble" / "ops" / "order.py").open("a") as file:
        file.write("\nimport pandas\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1 and "pandas" in result.stdout
