"""The report of a load test as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from ...core.page import cell, document, fact_table, figure_of, html_table, image, note
from ..load.point import Point, best
from ..stage_times import TOTAL
from .results import Report
from .text import HEAD, cells

PERCENTILES = {"p50_ms": "#5f9ea0", "p95_ms": "#1f77b4", "p99_ms": "#c44e52"}
LINES = {"concurrency": ("-", "o", "closed loop"), "rate": ("--", "s", "Poisson arrivals")}


def render(report: Report) -> str:
    """The page."""
    facts = {"generator": report.generator, **report.machine, **{f"load: {k}": v for k, v in report.workload.items()}}
    parts = [fact_table(facts), *map(note, report.notes)]
    parts += ["<h2>Latency against throughput</h2>", *(latency_curve(points) for points in _groups(report.points))]
    if any(point.stages_ms for point in report.points):
        parts += ["<h2>Where the time of a request goes</h2>", stage_bars(report.points)]
    parts += ["<h2>Every point</h2>", _table(HEAD, [cells(point) for point in report.points])]
    if report.floors:
        parts += ["<h2>Floors of the stages, CPU ms for one user</h2>", fact_table(_plain(report.floors))]
    if report.memory_mb:
        parts += ["<h2>Memory after the load, MB</h2>", _table(*_memory(report.memory_mb))]
    if report.startup_s:
        parts += ["<h2>From start to the first answer, s</h2>", fact_table(report.startup_s)]
    if report.soak:
        parts += ["<h2>Soak</h2>", fact_table(_plain(report.soak)), soak_curve(report.soak["memory_mb"])]
    if report.compare:
        parts += ["<h2>Comparison</h2>", fact_table(_plain(report.compare))]
    return document("bench", "Load test of the served model", "\n".join(parts))


def latency_curve(points: Sequence[Point]) -> str:
    """Latency percentiles against requests per second of one layout and batch size, with a line for each mode."""
    title = f"{points[0].layout}, {_users(points[0].batch)} a request"
    figure, axes = figure_of("requests per second", "latency, ms")
    for mode, (line, marker, label) in LINES.items():
        for name, color in PERCENTILES.items():
            shown = [(p.requests_per_s, ms) for p in points if p.mode == mode and (ms := getattr(p, name)) is not None]
            if shown:
                percentile = name.removesuffix("_ms")
                axes.plot(*zip(*shown, strict=True), line, marker=marker, color=color, label=f"{percentile}, {label}")
    axes.set_xlim(left=0)
    axes.set_yscale("log")
    axes.set_title(title)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)
    return image(figure, f"Latency against throughput: {title}")


def stage_bars(points: Sequence[Point]) -> str:
    """Time by stage as a stacked bar, for the best point of each layout and batch size."""
    fastest = [point for group in _groups(points) if (point := best(group)) is not None and point.stages_ms]
    names = [f"{point.layout}, {_users(point.batch)},\n{point.level:g} in flight" for point in fastest]
    figure, axes = figure_of("ms per request", "")
    left = [0.0] * len(fastest)
    for stage in dict.fromkeys(stage for point in fastest for stage in point.stages_ms if stage != TOTAL):
        widths = [point.stages_ms.get(stage, 0.0) for point in fastest]
        axes.barh(names, widths, left=left, label=stage)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper left", bbox_to_anchor=(1, 1))
    return image(figure, "Milliseconds per request by stage")


def soak_curve(memory: Mapping[str, Any]) -> str:
    """Memory over time: of each process, their sum, and the sum that includes mapped files."""
    figure, axes = figure_of("seconds", "memory, MB")
    for name, values in memory["own"].items():
        axes.plot(memory["seconds"], [float("nan") if mb is None else mb for mb in values], label=name)
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend(frameon=False, fontsize=8)
    return image(figure, "Memory during the soak")


def _groups(points: Sequence[Point]) -> list[list[Point]]:
    """The points grouped by layout and batch size, in their order."""
    return [list(group) for _, group in groupby(points, key=lambda point: (point.layout, point.batch))]


def _memory(memory: Mapping[str, Any]) -> tuple[Sequence[str], list[list[str]]]:
    """Titles and rows of the memory table."""
    rows = [
        [f"{layout}: {name}", *(f"{used[key]:.0f}" for key in ("own", "pss", "rss"))]
        for layout, parts in memory.items()
        for name, used in {"all": parts, **parts["processes"]}.items()
    ]
    return ("process", "own", "PSS", "RSS"), rows


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that fit into a table cell: lists are left out, mappings are joined into one text."""
    flat = {k: ", ".join(f"{n} {x}" for n, x in v.items()) if isinstance(v, Mapping) else v for k, v in values.items()}
    return {k: v for k, v in flat.items() if not isinstance(v, list) and k != "memory_mb"}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return html_table(head, [[cell(text) for text in row] for row in rows])


def _users(batch: int) -> str:
    return "1 user" if batch == 1 else f"{batch} users"
