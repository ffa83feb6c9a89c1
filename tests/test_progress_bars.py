"""Long work shows a bar on a terminal, and lines elsewhere."""

import ast
from pathlib import Path

import pytest

import cascade

PACKAGE = Path(cascade.__file__).parent
BAR_OF_ALL, OF_TRAINING = "core/progress.py", "models/training/progress.py"
"""The one that everything uses, and that of training, which logs a line for each epoch without a terminal."""


def bars():
    """(file, the expression of ``disable``) of each bar of tqdm that the package makes."""
    for folder in (PACKAGE, *(path for path in PACKAGE.iterdir() if path.is_dir())):
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("tqdm", "trange"):
                    given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                    yield str(file.relative_to(PACKAGE)), given.get("disable", "")


@pytest.mark.slow
def test_no_bar_is_shown_without_a_terminal():
    found = dict(bars())
    assert sorted(found) == [BAR_OF_ALL, OF_TRAINING]
    assert found[OF_TRAINING].startswith("None")  # off without a terminal
    assert found[BAR_OF_ALL] == ""  # its file looks itself
