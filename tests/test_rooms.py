"""The shape of the source tree: no crowded folder, short files, a docstring at each door."""

import ast
import statistics
from pathlib import Path

import pytest
from shipping import FOLDERS, ROOT, modules

MOST_MODULES = 20
"""Modules beside each other in one folder, its ``__init__`` not counted."""
MEDIAN_LINES = 120
ROOMS = sorted({file.parent for file in modules()})


def test_no_folder_is_crowded() -> None:
    crowded = {}
    for room in ROOMS:
        beside = [file for file in room.glob("*.py") if file.name != "__init__.py"]
        if len(beside) > MOST_MODULES:
            crowded[str(room.relative_to(ROOT))] = len(beside)
    assert crowded == {}


def test_files_are_short() -> None:
    lines = [len(file.read_text().splitlines()) for file in modules() if file.name != "__init__.py"]
    assert statistics.median(lines) <= MEDIAN_LINES


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_every_room_says_what_it_is_for(room: Path) -> None:
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert text, f"{room}/__init__.py has no docstring"


def test_no_two_classes_share_a_name() -> None:
    triton = {"TritonPythonModel"}  # Triton looks for a class of this name in each model
    found: dict[str, list[str]] = {}
    for file in modules():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name not in triton and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(file.relative_to(ROOT)))
    assert {name: files for name, files in found.items() if len(files) > 1} == {}


def test_tests_mirror_the_rooms() -> None:
    """A folder of tests is named like the room that it tests; the others are for the whole."""
    whole = {"assets", "golden", "integration", "benchmarks", "docs", "api", "chaos"}
    rooms = {str(room.relative_to(ROOT)).removeprefix("cascade/") for room in ROOMS} | set(FOLDERS)
    tests = {str(file.parent.relative_to(ROOT / "tests")) for file in (ROOT / "tests").rglob("test_*.py")} - {"."}
    assert {name for name in tests if name.split("/")[0] not in whole} <= rooms
