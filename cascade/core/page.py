"""Parts of a self-contained HTML page: the document, notes, tables, and figures embedded as SVG."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; }
td { text-align: right; font-variant-numeric: tabular-nums; } th { text-align: left; } td.best { font-weight: 700; }
img { max-width: 100%; } .note { color: #666; }
"""


def document(name: str, heading: str, body: str) -> str:
    """A whole page, titled ``cascade: {name}``; ``body`` is HTML, the other two are text."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>cascade: {escape(name)}</title><style>{STYLE}</style></head><body>
<h1>{escape(heading)}</h1>
{body}
</body></html>
"""


def note(text: str) -> str:
    """A paragraph in grey."""
    return f'<p class="note">{escape(text)}</p>'


def cell(value: object) -> str:
    """A table cell that holds ``value`` as text."""
    return f"<td>{escape(str(value))}</td>"


def header(value: object) -> str:
    """A header cell, of a column or of a row."""
    return f"<th>{escape(str(value))}</th>"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table with the column titles ``head``, or without a title row if ``head`` is empty.

    Args:
        rows: the HTML of each cell, made by `cell` or `header`.
    """
    titles = [[header(name) for name in head]] if head else []
    lines = "".join(f"<tr>{''.join(cells)}</tr>" for cells in [*titles, *rows])
    return f"<table>{lines}</table>"


def fact_table(facts: Mapping[str, Any]) -> str:
    """A row for each name and its value."""
    return html_table((), [(header(name), cell(value)) for name, value in facts.items()])


def figure_of(x: str, y: str) -> tuple[Any, Any]:
    """A matplotlib figure and its axes, with the axis labels ``x`` and ``y``."""
    from matplotlib.figure import Figure  # not pyplot, which keeps figures and picks a screen backend

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def image(figure: Any, alt: str) -> str:
    """An ``img`` element that embeds the figure."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    data = base64.b64encode(out.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'
