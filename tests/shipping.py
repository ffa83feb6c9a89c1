"""Where the repository is, which modules ship, and an environment for programs that tests start."""

import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINKED = tuple(sorted(link.name for link in (ROOT / "cascade").iterdir() if link.is_symlink()))
"""Top-level folders that ``cascade/`` links to."""
FOLDERS = ("cascade", *LINKED)


def modules() -> Iterator[Path]:
    """Every module that ships, once, by the path of its top-level folder."""
    for folder in FOLDERS:
        yield from sorted((ROOT / folder).rglob("*.py"))  # rglob does not follow the links below cascade/


def name_of(module: Path) -> str:
    """The dotted name that a file is imported by."""
    parts = module.relative_to(ROOT).with_suffix("").parts
    dotted = parts if parts[0] == "cascade" else ("cascade", *parts)
    return ".".join(dotted).removesuffix(".__init__")


def clean_environment() -> dict[str, str]:
    """This environment without what makes Python look elsewhere."""
    return {
        k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME") and not k.startswith("CASCADE_")
    }
