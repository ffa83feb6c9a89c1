"""mkdocs hooks: pages that are generated, pages that are files of the repository's root, and links between them."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

import docs_cli
import docs_config
import docs_examples
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
INCLUDED = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""File of the root -> the page that shows it."""
GENERATED = {
    "cascade/config/pipeline.py": (f"{docs_config.FOLDER}/index.md", ""),
    "cascade/config/tune.py": (f"{docs_config.FOLDER}/tune.md", ""),
    "models/config.py": (f"{docs_config.FOLDER}/dlrm_ranker.md", ""),
    "workflows/config.py": (f"{docs_config.FOLDER}/data.md", ""),
    "cascade/cli/tune.py": (docs_cli.PAGE, "#cascade-tune"),
}
"""File that a page in the repository links to -> the page that is written from it, and where on it. Generated pages are
only in the site."""
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add what is not a file of docs/."""
    generated = {**docs_config.pages(), **docs_cli.pages(), **docs_examples.pages()}
    for name, page in INCLUDED.items():
        generated[page] = linked((ROOT / name).read_text(), ROOT, page)
    for path, content in generated.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of a file of docs/ that leave docs/."""
    source = page.file.abs_src_path
    return linked(markdown, Path(source).parent, page.file.src_uri) if source else markdown


def linked(markdown: str, folder: Path, page: str) -> str:
    """Make links that hold in the repository hold in the site: to another page, or plain text where there is none.

    Args:
        folder: where the markdown's relative links start.
        page: path of the page below docs/.
    """

    def one(found: re.Match[str]) -> str:
        target = found["target"]
        if "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        file = Path(os.path.normpath(folder / target))
        if not file.is_relative_to(ROOT) or not file.exists():
            return found[0]
        there = _page_of(file)
        if there is None:
            return found["text"]
        path, anchor = there
        relative = os.path.relpath(path, PurePosixPath(page).parent)
        return f"{found['image']}[{found['text']}]({relative}{found['anchor'] or anchor})"

    return LINK.sub(one, markdown)


def _page_of(file: Path) -> tuple[str, str] | None:
    """The page below docs/ that shows a file of the repository, and where on it."""
    if file.is_relative_to(DOCS) and file.is_file():
        return str(file.relative_to(DOCS)), ""
    name = str(file.relative_to(ROOT))
    if name in GENERATED:
        return GENERATED[name]
    if name in INCLUDED:
        return INCLUDED[name], ""
    if file in docs_examples.files():
        return docs_examples.PAGE, f"#{docs_examples.anchor(file)}"
    return None
