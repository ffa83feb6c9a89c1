"""Time by stage, from the histogram ``recsys_latency_seconds`` on Triton's metrics endpoint."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

SECONDS, REQUESTS = "recsys_latency_seconds_sum", "recsys_requests_total"
PUBLISHED_S = 1.2
"""Seconds to wait for the latest counters: the served model passes them to Triton every second."""
_SERIES = re.compile(rf"^(?P<name>{SECONDS}|{REQUESTS})\{{(?P<labels>[^}}]*)\}} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

TOTAL = "total"
"""Name of the whole pass: all stages and the time between them."""

Series = tuple[str, str, str]
"""Model, process id, stage."""


@dataclass(frozen=True)
class StageTimes:
    """Counters since the start of the model's processes."""

    seconds: Mapping[Series, float] = field(default_factory=dict)
    requests: Mapping[Series, float] = field(default_factory=dict)
    """Requests in the passes that were timed; the stage of their series is empty."""

    @classmethod
    def parse(cls, text: str) -> StageTimes:
        """Parse Prometheus' text format."""
        found: dict[str, dict[Series, float]] = {SECONDS: {}, REQUESTS: {}}
        for line in _SERIES.finditer(text):
            labels = dict(_LABEL.findall(line["labels"]))
            series = (labels.get("model", ""), labels.get("pid", ""), labels.get("stage", ""))
            found[line["name"]][series] = float(line["value"])
        return cls(found[SECONDS], found[REQUESTS])

    def ms_since(self, before: StageTimes, models: Collection[str]) -> dict[str, float]:
        """Stage -> milliseconds per request in ``models``. Requests that share a pass share its time.

        The counters of a process that was restarted in between count from its start.
        """
        spent: dict[str, float] = {}
        for model in sorted(models):
            requests = sum(_grown(self.requests, before.requests, model).values())
            for stage, seconds in _grown(self.seconds, before.seconds, model).items():
                if requests:
                    spent[stage] = spent.get(stage, 0.0) + 1000 * seconds / requests
        return spent


def _grown(after: Mapping[Series, float], before: Mapping[Series, float], model: str) -> dict[str, float]:
    """Stage -> increase of the counter, summed over the processes of ``model``."""
    grown: dict[str, float] = {}
    for series, value in after.items():
        if series[0] == model:
            grown[series[2]] = grown.get(series[2], 0.0) + value - before.get(series, 0.0)
    return grown
