"""Import direction is data-flow direction: between the folders, and between the rooms inside a folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from shipping import ROOT, clean_environment


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).parent / "lint-imports"
    call = [tool, "--config", ROOT / "pyproject.toml", "--no-cache"]
    env = clean_environment() | {"PYTHONPATH": os.fspath(folder), "COLUMNS": "300"}
    return subprocess.run(call, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_imports_go_one_way() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("workflows/config.py", "from ..models import config", "cascade.workflows.config -> cascade.models.config"),
        (
            "models/training/loop.py",
            "from ..ranker import dlrm",
            "cascade.models.training.loop -> cascade.models.ranker",
        ),
        ("models/ranker/loss.py", "from . import stage", "No cycles are allowed in cascade.models.ranker"),
        ("ensemble/graph/ops/order.py", "import pandas", "pandas"),
    ],
)
def test_an_import_against_the_rules_is_found(tmp_path: Path, module: str, line: str, found: str) -> None:
    subprocess.run(["cp", "-rL", ROOT / "cascade", tmp_path], check=True)
    with (tmp_path / "cascade" / module).open("a") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1 and found in result.stdout
