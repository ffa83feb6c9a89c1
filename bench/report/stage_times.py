"""Time by stage, from the histogram ``recsys_latency_seconds`` on Triton's metrics endpoint."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

SECONDS, REQUESTS = "recsys_latency_seconds_sum", "recsys_requests_total"
PUBLISHED_S = 1.2
"""The served model tells Triton its counters every second."""
_SERIES = re.compile(rf"^(?P<name>{SECONDS}|{REQUESTS})\{{(?P<labels>[^}}]*)\}} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

TOTAL = "total"
"""The stage that is the sum of the others and of what lies between them."""

Series = tuple[str, str, str]
"""Model, process id, stage."""


@dataclass(frozen=True)
class StageTimes:
    """Counters since the processes started."""

    seconds: Mapping[Series, float] = field(default_factory=dict)
    requests: Mapping[Series, float] = field(default_factory=dict)
    """Requests in the passes that were timed; of no stage."""

    @classmethod
    def parse(cls, text: str) -> StageTimes:
        """From Prometheus' text format."""
        found: dict[str, dict[Series, float]] = {SECONDS: {}, REQUESTS: {}}
        for line in _SERIES.finditer(text):
            labels = dict(_LABEL.findall(line["labels"]))
            series = (labels.get("model", ""), labels.get("pid", ""), labels.get("stage", ""))
            found[line["name"]][series] = float(line["value"])
        return cls(found[SECONDS], found[REQUESTS])

    def ms_since(self, before: StageTimes, models: Collection[str]) -> dict[str, float]:
        """Stage -> milliseconds per request in ``models``; requests that share a pass share its time.

        A process that was replaced meanwhile counts from its start.
        """
        spent: dict[str, float] = {}
        for model in sorted(models):
            requests = sum(_grown(self.requests, before.requests, model).values())
            for stage, seconds in _grown(self.seconds, before.seconds, model).items():
                if requests:
                    spent[stage] = spent.get(stage, 0.0) + 1000 * seconds / requests
        return spent


def _grown(after: Mapping[Series, float], before: Mapping[Series, float], model: str) -> dict[str, float]:
    """Stage -> growth over all processes of ``model``."""
    grown: dict[str, float] = {}
    for series, value in after.items():
        if series[0] == model:
            grown[series[2]] = grown.get(series[2], 0.0) + value - before.get(series, 0.0)
    return grown
