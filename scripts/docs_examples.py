"""The page of examples: every configuration file and script that the documentation refers to."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = "examples.md"
LANGUAGES = {".yaml": "yaml", ".py": "python"}


def files() -> list[Path]:
    """The demo's file, then those of examples/ and of the benchmark."""
    examples = sorted(file for file in (ROOT / "examples").iterdir() if file.suffix in LANGUAGES)
    return [ROOT / "pipeline.yaml", *examples, ROOT / "bench" / "shop.yaml"]


def anchor(file: Path) -> str:
    """Where the page shows a file."""
    return str(file.relative_to(ROOT)).replace("/", "-").replace(".", "-")


def pages() -> dict[str, str]:
    """Path below docs/ -> markdown."""
    parts = ["# Examples", "Each file runs from the folder of the repository.", *map(_section, files())]
    return {PAGE: "\n\n".join(parts) + "\n"}


def _section(file: Path) -> str:
    name = file.relative_to(ROOT)
    return f"## {name} {{ #{anchor(file)} }}\n\n```{LANGUAGES[file.suffix]}\n{file.read_text().rstrip()}\n```"
