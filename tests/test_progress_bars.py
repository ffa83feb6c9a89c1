"""Long work shows a bar on a terminal, and lines elsewhere."""

import ast
from pathlib import Path

import pytest

import cascade

PACKAGE = Path(cascade.__file__).parent
WHERE = ["core/progress.py", "models/training/progress.py"]
"""The bar of everything, and that of training, which logs a line for each epoch without a terminal."""


def makers_of_bars():
    """The files of the package that make a bar of tqdm themselves."""
    for folder in (PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_dir())):
        for file in folder.rglob("*.py"):
            calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
            if any(isinstance(call.func, ast.Name) and call.func.id in ("tqdm", "trange") for call in calls):
                yield str(file.relative_to(PACKAGE))


@pytest.mark.slow
def test_all_bars_are_made_where_it_is_looked_whether_there_is_a_terminal():
    assert sorted(set(makers_of_bars())) == WHERE
