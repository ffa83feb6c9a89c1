"""Watches a release after its promotion: requests that fail by its fault, and processes that die or hang."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..config import WatchConfig
from .scrape import Growth, Series, scrape

_ANSWERED, _REFUSED = "recsys_requests_total", "recsys_refused_requests_total"


@dataclass(frozen=True)
class WatchedServer:
    """Where a running server says how it is."""

    metrics_url: Callable[[], str]
    counts: Callable[[], Mapping[str, int]]
    """As `TritonServer.counts`."""


class ReleaseWatch:
    """Says when the release that was promoted last has to be taken back.

    Args:
        clock: seconds.
        read: the counters of a metrics endpoint; raises OSError if it does not answer.
    """

    def __init__(
        self,
        sources: WatchedServer,
        config: WatchConfig,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[str], Mapping[Series, float]] = scrape,
    ) -> None:
        self._sources, self._config, self._clock, self._read = sources, config, clock, read
        self._growth = Growth()
        self._until = self._next = self._ended = 0.0

    def begin(self) -> None:
        """A release was promoted: watch it for as long as is configured."""
        now = self._clock()
        self._until, self._next = now + 60 * self._config.minutes, now
        self._growth, self._ended = Growth(), self._ended_processes()

    def end(self) -> None:
        """Watch nothing any more."""
        self._until = 0.0

    def fault(self) -> str:
        """Why the release has to be taken back; empty if it has not, or nothing is watched. It may be asked often."""
        now = self._clock()
        if now >= self._until or now < self._next:
            return ""
        self._next = now + self._config.every_s
        if (ended := self._ended_processes() - self._ended) >= self._config.max_processes:
            return f"{ended:.0f} processes have died or hung since its promotion"
        try:
            self._growth.add("", self._read(self._sources.metrics_url()))
        except OSError:  # the server is being started again, which counts above
            return ""
        failed = sum(self._by_model(_REFUSED, "internal").values())
        answered = max(self._by_model(_ANSWERED).values(), default=0.0)
        share = failed / max(failed + answered, 1)
        if failed >= self._config.min_errors and share > self._config.max_error_share:
            return f"{failed:.0f} of {failed + answered:.0f} requests have failed since its promotion ({share:.1%})"
        return ""

    def _ended_processes(self) -> float:
        counts = self._sources.counts()
        return counts["replaced_instances"] + counts["server_restarts"]

    def _by_model(self, name: str, why: str = "") -> Mapping[str, float]:
        """Model -> by how much a counter grew. In an ensemble each step is a model: it counts the requests that come to
        it, so the first has all of them, and only the one in which a request fails counts that."""
        found: dict[str, float] = defaultdict(float)
        for (series, labels), value in self._growth.grown.items():
            if series == name and (not why or ("why", why) in labels):
                found[dict(labels).get("model", "")] += value
        return found
