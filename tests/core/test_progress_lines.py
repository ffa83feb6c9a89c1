"""How far long work is, with and without a terminal."""

import pytest

from cascade.core import progress as module
from cascade.core.progress import progress


@pytest.fixture
def at_once(monkeypatch):
    """A line for each step, instead of one every half a minute."""
    monkeypatch.setattr(module, "LINE_S", 1e-9)


def test_lines_without_a_terminal(at_once, capsys):
    assert list(progress(range(3), desc="towers", unit="batch")) == [0, 1, 2]
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("towers: ") for line in lines)
    assert any("2/3" in line for line in lines[:-1])
    assert "3/3" in lines[-1]


def test_short_work_says_nothing_without_a_terminal(capsys):
    with progress(total=2, desc="short") as bar:
        bar.update(2)
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress(total=2, desc="towers") as bar:
        bar.update(2)
    assert "\rtowers: 100%" in capsys.readouterr().err
