"""The report as text for a terminal."""

from __future__ import annotations

from ...core.text_table import table
from ..load.point import Point
from .results import Report

HEAD = (
    "layout", "users", "mode", "level", "requests/s", "users/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "load CPU ms",
    "batch", "errors",
)  # fmt: skip


def cells(point: Point) -> list[str]:
    """A row of the table with the titles `HEAD`. CPU times are per request."""
    return [
        point.layout,
        str(point.batch),
        point.mode,
        f"{point.level:g}",
        f"{point.requests_per_s:,.0f}",
        f"{point.users_per_s:,.0f}",
        *(_ms(value) for value in (point.p50_ms, point.p95_ms, point.p99_ms)),
        *(_ms(value) for value in (point.cpu_ms_per_request, point.generator_cpu_ms_per_request)),
        _ms(point.effective_batch),
        str(point.errors),
    ]


def as_text(report: Report) -> str:
    """The table of points, then one line for each further result."""
    sides = ["left", "right", "left", *["right"] * (len(HEAD) - 3)]
    points = table(HEAD, [cells(point) for point in report.points], sides)
    lines = [f"load by {report.generator} on {report.machine['cores']} cores of {report.machine['cpu']}", *report.notes]
    if report.stages_ms:
        lines.append("stages, ms per request: " + ", ".join(f"{k} {v:.3f}" for k, v in report.stages_ms.items()))
    if floor := report.floors:
        times = f", a served request takes {floor['cpu_ratio']:.2f} times that" if floor["cpu_ratio"] else ""
        lines.append(f"floors of the stages, CPU ms: {floor['sum_ms']:.3f} in total{times}")
    for layout, used in report.memory_mb.items():
        processes = ", ".join(f"{name} {part['own']:.0f}" for name, part in used["processes"].items())
        lines.append(f"memory of {layout}, MB: {used['own']:.0f} ({processes}); {used['pss']:.0f} with mapped files")
    lines += [f"{layout} answered {seconds:.1f} s after its start" for layout, seconds in report.startup_s.items()]
    lines += [f"error: {error}" for error in dict.fromkeys(point.error for point in report.points if point.error)]
    if soak := report.soak:
        growth = ", ".join(f"{name} {ratio:.3f}" for name, ratio in soak["memory_ratio"].items()) or "unknown"
        lines.append(
            f"soak: {soak['seconds']:.0f} s at {soak['rate']:.0f} requests/s, {soak['errors']} errors, "
            f"p95 {_ms(soak['p95_ms'])} ms, memory of the last minute / the second: {growth}"
        )
    if other := report.compare:
        cpu = f", {other['cpu_ratio']:.1f} times the CPU time" if other["cpu_ratio"] else ""
        lines.append(
            f"comparison: the rival answers {other['requests_per_s']:.1f} requests/s{cpu}; "
            f"the served model {other['ratio']:.1f} times as many"
        )
    return "\n".join([points, "", *lines])


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
