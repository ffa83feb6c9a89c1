"""Parts of an HTML page that needs nothing but itself: its style, and figures as pictures inside it."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { padding: .3rem .8rem; border-bottom: 1px solid #ddd; }
td { text-align: right; font-variant-numeric: tabular-nums; } th { text-align: left; } td.best { font-weight: 700; }
img { max-width: 100%; } .note { color: #666; }
"""


def figure_of(x: str, y: str) -> tuple[Any, Any]:
    """A matplotlib figure and its axes, labelled."""
    from matplotlib.figure import Figure  # not pyplot, which keeps figures and picks a screen backend

    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def image(figure: Any, alt: str) -> str:
    """The figure as an ``img`` element that holds its picture."""
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    data = base64.b64encode(out.getvalue()).decode()
    return f'<img alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'
