"""Paths of the repository that the documentation names exist, and so do the targets of its links."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from shipping import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import docs_cli  # noqa: E402
import docs_config  # noqa: E402
import docs_hooks  # noqa: E402

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *(file for file in ROOT.glob("*.md") if file.name != "CHANGELOG.md")])
FOLDERS = "bench|cascade|docs|ensemble|evaluation|examples|feature_repo|models|notebooks|rollout|scripts|tests|tuning"
FOLDERS += "|workflows"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")
MADE_BY_RUNS = ("feature_repo/data/",)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_in_backticks_exists(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    missing = [name for name in named if not (ROOT / name).exists() and not name.startswith(MADE_BY_RUNS)]
    assert missing == []


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    """As a code host shows the repository; strict mode checks the links of the site."""
    targets = [target for target, _ in LINK.findall(page.read_text()) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_a_link_to_what_a_page_is_written_from_leads_to_that_page_in_the_site() -> None:
    written = {**docs_config.pages(), **docs_cli.pages()}
    for name, (page, anchor) in docs_hooks.GENERATED.items():
        shown = docs_hooks.linked(f"[it](../../{name})", ROOT / "docs" / "how-to", "how-to/train.md")
        assert shown == f"[it](../{page}{anchor})" and page in written
    assert all((ROOT / name).is_file() for name in docs_hooks.GENERATED)


def test_what_a_pipeline_writes_is_ignored_by_git() -> None:
    """A run in the checkout leaves no file of the repository changed."""
    written = ("runs/data/x", "feature_repo/data/registry.db", "model_repository/cascade/config.pbtxt")
    found = subprocess.run(["git", "check-ignore", *written], cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode == 128:
        pytest.skip("not a git checkout")
    assert found.stdout.split() == [*written]
    tracked = subprocess.run(
        ["git", "ls-files", "model_repository"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert tracked.stdout.split() == ["model_repository/README.md"]
