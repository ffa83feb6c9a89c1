"""Progress bars are for terminals only."""

import ast
from pathlib import Path

import pytest

import cascade

PACKAGE = Path(cascade.__file__).parent
ROOMS = ("models", "workflows", "ensemble", "evaluation", "rollout", "bench", "tuning")


def bars():
    """(file:line, the expression of ``disable``) of each bar that the package makes."""
    files = {file for folder in (PACKAGE, *(PACKAGE / room for room in ROOMS)) for file in folder.rglob("*.py")}
    for file in sorted(files):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("tqdm", "trange"):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                yield f"{file.relative_to(PACKAGE)}:{node.lineno}", given.get("disable", "")


@pytest.mark.slow
def test_no_bar_is_shown_without_a_terminal():
    found = dict(bars())
    assert len(found) >= 10
    assert [place for place, disable in found.items() if not disable.startswith("None")] == []
