"""The site builds in strict mode without network, and shows every public name, command and key."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from shipping import ROOT, clean_environment

import cascade
import cascade.extensions
import cascade.testing

sys.path.insert(0, str(ROOT / "scripts"))

from docs_cli import commands  # noqa: E402
from docs_config import anchor, keys  # noqa: E402

pytestmark = pytest.mark.slow
NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**clean_environment(), **NO_NETWORK, "NO_MKDOCS_2_WARNING": "1"}
    build = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stdout + build.stderr
    assert build.stderr == ""
    return folder


class Page(HTMLParser):
    """What a page loads, what it links to, and the anchors that it has."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given["id"]} if "id" in given else set()
        if tag in ("script", "img", "iframe"):
            self.loads += [given["src"]] if "src" in given else []
        elif tag == "link":
            self.loads.append(given.get("href", ""))


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    loaded = {target: str(file) for file in site.rglob("*.html") for target in Page(file).loads}
    assert loaded
    assert {target: page for target, page in loaded.items() if re.match(r"\w+:|//", target)} == {}
    local = [(page, target) for target, page in loaded.items() if not target.startswith("/")]
    assert [target for page, target in local if not Path(os.path.normpath(Path(page).parent / target)).exists()] == []


def test_every_public_name_is_on_the_page_of_the_python_api(site: Path) -> None:
    shown = Page(site / "reference" / "python" / "index.html").anchors
    assert [name for name in cascade.__all__ if f"cascade.{name}" not in shown] == []


def test_every_contract_and_base_class_is_on_its_page(site: Path) -> None:
    shown = Page(site / "reference" / "python" / "testing.html").anchors
    named = [f"cascade.testing.{name}" for name in cascade.testing.__all__]
    named += [f"cascade.extensions.{name}" for name in cascade.extensions.__all__ if name != "tf"]
    assert [name for name in named if name not in shown] == []


def test_every_command_is_on_the_page_of_the_command_line(site: Path) -> None:
    shown = Page(site / "reference" / "cli.html").anchors
    names = [context.command_path for _, context in commands()]
    assert {"cascade run", "cascade features push"} <= set(names)
    assert [name for name in names if name.replace(" ", "-") not in shown] == []


def test_every_key_has_its_place(site: Path) -> None:
    folder = site / "reference" / "configuration"
    shown = {name for file in folder.glob("*.html") for name in Page(file).anchors}
    values = [key for key in keys() if key.section is None and "." in key.name]
    assert [key.name for key in values if anchor(key.name) not in shown] == []
