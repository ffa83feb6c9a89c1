"""How far long work is: a bar on a terminal, and elsewhere a line every half a minute."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

LINE_S = 30.0
"""Seconds between two lines where there is no terminal."""


class _Lines:
    """A file for tqdm that gets each state of the bar as a line of its own."""

    encoding = "utf-8"

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(line + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress(iterable: Iterable[Any] | None = None, **options: Any) -> Any:
    """A bar of tqdm on stderr, with its ``options``: ``total``, ``desc``, ``unit``. Work of less than half a minute
    shows nothing where there is no terminal."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        options |= {"file": _Lines(), "mininterval": LINE_S, "miniters": 1, "delay": LINE_S, "ascii": True}
    return tqdm(iterable, **options)
