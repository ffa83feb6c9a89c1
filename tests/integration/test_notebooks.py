"""The notebooks tell the story with the package alone, and run."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)

pytestmark = pytest.mark.timeout(1500)  # the first test to ask for a pipeline builds it


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_five():
    assert [path.stem[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_short_defines_nothing_and_holds_no_output(path):
    notebook = read(path)
    assert len(notebook.cells) < 12
    for cell in code(notebook):
        defined = [type(node).__name__ for node in ast.walk(ast.parse(cell.source)) if isinstance(node, DEFINITIONS)]
        assert not defined, f"{path.name}: {defined} in\n{cell.source}"
        assert not cell.outputs and cell.execution_count is None, f"{path.name} holds outputs"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, shop, monkeypatch):
    for name, value in shop.environment.items():
        monkeypatch.setenv(name, value)
    notebook = read(path)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(FOLDER)}}).execute()
    assert all(cell.execution_count for cell in code(notebook))
