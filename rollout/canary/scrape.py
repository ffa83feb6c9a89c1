"""Counters of the running servers, from their metrics endpoints, and by how much they grew."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from urllib.request import urlopen

Series = tuple[str, frozenset[tuple[str, str]]]
"""Name and labels."""
PREFIX = "recsys_arm_"
"""The names of the counters of arms begin so."""
TIMEOUT_S = 5.0
SHADOW_PREFIX = "recsys_shadow_"
"""Those of shadows begin so."""
_SERIES = re.compile(r"^(recsys_\w+)\{(.*)\} (\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


def parse(text: str) -> dict[Series, float]:
    """The metrics of ours in Prometheus' text format."""
    found = {}
    for name, labels, value in _SERIES.findall(text):
        pairs = ((key, _ESCAPED.sub(_plain, raw)) for key, raw in _LABEL.findall(labels))
        found[name, frozenset(pairs)] = float(value)
    return found


def scrape(url: str) -> dict[Series, float]:
    """The counters of a server.

    Raises:
        OSError: it does not answer within `TIMEOUT_S`.
    """
    with urlopen(url, timeout=TIMEOUT_S) as answer:
        return parse(answer.read().decode())


class Growth:
    """By how much counters grew since `start`, over servers and processes that come, end and start again."""

    def __init__(self) -> None:
        self.grown: dict[Series, float] = defaultdict(float)
        self._last: dict[str, dict[Series, float]] = {}

    def start(self) -> None:
        """Begin a new window: nothing has grown yet."""
        self.grown.clear()

    def add(self, server: str, counters: Mapping[Series, float]) -> None:
        """Take in what a server says now.

        What it says first is the base. Later, a series that was not there began at 0, and one that fell began at 0
        again: its process was replaced.
        """
        last = self._last.setdefault(server, dict(counters))
        for series, value in counters.items():
            before = last.get(series, 0.0)
            self.grown[series] += value - before if value >= before else value
            last[series] = value


def _plain(escaped: re.Match[str]) -> str:
    return "\n" if escaped[1] == "n" else escaped[1]
