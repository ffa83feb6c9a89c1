"""Paths of the repository that the documentation names exist, and so do the targets of its links."""

import os
import re
from pathlib import Path

import pytest
from shipping import ROOT

PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), *(ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING"))]
)
FOLDERS = "bench|cascade|docs|ensemble|evaluation|examples|feature_repo|models|notebooks|scripts|tests|tuning|workflows"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
MADE_BY_RUNS = ("feature_repo/data/",)
GENERATED = ("reference/configuration/", "reference/cli.md", "examples.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_in_backticks_exists(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    missing = [name for name in named if not (ROOT / name).exists() and not name.startswith(MADE_BY_RUNS)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    """Read in the repository; in the site, strict mode checks the links. Generated pages exist only there."""
    targets = [target for target, _ in LINK.findall(page.read_text()) if "://" not in target]
    missing = [
        Path(os.path.normpath(page.parent / target)) for target in targets if not (page.parent / target).exists()
    ]
    assert [file for file in missing if not str(file.relative_to(ROOT / "docs")).startswith(GENERATED)] == []
