"""The metrics of `cascade serve` itself, which the gateway shows beside its own, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Mapping

_HELP = {
    "server_restarts": "Times that tritonserver was started again or its standby took over",
    "replaced_instances": "Model processes that died, were stopped or hung, and were replaced",
    "reloads": "How often another release has begun to answer.",
    "reload_failures": "Reloads that were refused, so that the release before stayed live",
    "gateway_restarts": "Times that the HTTP process was replaced",
}


def parent_metrics(counts: Mapping[str, int], started: float, changes: Mapping[str, int]) -> str:
    """The counts as counters, and when `cascade serve` was started.

    Args:
        counts: a number for each name in this module.
        started: seconds since 1970.
        changes: number of changes of the live set for each action; empty if no live set is followed.
    """
    lines = [
        "# HELP recsys_serve_start_time_seconds When cascade serve was started, seconds since 1970",
        "# TYPE recsys_serve_start_time_seconds gauge",
        f"recsys_serve_start_time_seconds {started:.3f}",
    ]
    for name, text in _HELP.items():
        series = f"recsys_{name}_total"
        lines += [f"# HELP {series} {text}", f"# TYPE {series} counter", f"{series} {counts[name]}"]
    series = "recsys_live_set_changes_total"
    lines += [f"# HELP {series} Changes of the live set since its audit log begins", f"# TYPE {series} counter"]
    lines += [f'{series}{{action="{action}"}} {count}' for action, count in changes.items()]
    return "\n".join(lines) + "\n"
