"""A study as text and as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from ..core.page import cell, document, figure_of, html_table, image, note
from ..core.text_table import table
from .results import Results, TrialRow

BLUE, GREY, RED = "#1f77b4", "#9aa0a6", "#c44e52"
SHOWN = 10
"""Trials in the text; the page has all."""
TOO_MANY_NAMES = 8
"""Choices whose labels are turned to fit below an axis."""


def as_text(results: Results) -> str:
    """The best trials, what matters, and why trials ended early."""
    names = list(dict.fromkeys(name for trial in results.trials for name in trial.params))
    shown = [trial for trial in results.ranked() if trial.value is not None][:SHOWN]
    rows = [[str(t.number), t.value, *(_text(t.params.get(name)) for name in names)] for t in shown]
    parts = [table(["trial", results.metric, *names], rows), summary(results)]
    if results.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in results.importance.items())
        parts.append(f"importance: {shares}")
    parts += [f"trial {t.number} {t.state}: {t.reason}" for t in results.trials if t.reason][-SHOWN:]
    return "\n".join(parts)


def summary(results: Results) -> str:
    """One line: how many trials, the best, and the config as it is."""
    counts = ", ".join(f"{count} {state}" for state, count in results.counts().items() if count)
    best = results.best
    found = f"best {results.metric} {best.value:.4f} (trial {best.number})" if best else "nothing measured"
    before = "" if results.baseline is None else f", the config as it is {results.baseline:.4f}"
    return f"{results.study}: {counts or 'no trials'}; {found}{before}"


def as_html(results: Results) -> str:
    """The page: history, importance, every parameter against the metric, learning curves, all trials."""
    said = f"{summary(results)}. The metric is measured on the validation part; the test part was not used."
    parts = {
        "Optimization history": history_plot(results),
        "Which parameters matter": importance_plot(results),
        "Each parameter against the metric": "".join(slice_plot(results, name) for name in _names(results)),
        "Validation score by epoch": epochs_plot(results),
        "Trials": _trial_table(results),
    }
    sections = "\n".join(f"<h2>{title}</h2>\n{part}" for title, part in parts.items())
    heading = f"Tuning: {results.study}"
    return document(heading, heading, f"<p>{escape(said)}</p>\n{sections}")


def history_plot(results: Results) -> str:
    """The metric by trial, and the best until then."""
    done = results.complete
    if not done:
        return note("No trial has been measured to the end.")
    figure, axes = figure_of("trial", results.metric)
    numbers, values = [t.number for t in done], [float(t.value or 0) for t in done]
    better = max if results.maximize else min
    best = [better(values[: at + 1]) for at in range(len(values))]
    axes.scatter(numbers, values, color=GREY, s=18, label="trial")
    axes.step(numbers, best, where="post", color=BLUE, label="best so far")
    if results.baseline is not None:
        axes.axhline(results.baseline, color=RED, linewidth=1, linestyle="--", label="the config as it is")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return image(figure, "Optimization history")


def importance_plot(results: Results) -> str:
    if not results.importance:
        return note("Too few trials to tell.")
    figure, axes = figure_of("share of the metric's variance (fANOVA)", "")
    names = list(results.importance)
    bars = axes.barh(names, list(results.importance.values()), color=BLUE)
    axes.bar_label(bars, [f"{share:.0%}" for share in results.importance.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(results.importance.values()))
    return image(figure, "Parameter importance")


def slice_plot(results: Results, name: str) -> str:
    """One parameter against the metric."""
    done = [t for t in results.complete if name in t.params]
    if not done:
        return ""
    figure, axes = figure_of(name, results.metric)
    values = [t.params[name] for t in done]
    if any(isinstance(value, str | bool) or value is None for value in values) or len(set(values)) < len(values):
        names = [_text(value) for value in sorted(set(values), key=_in_order)]
        axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > TOO_MANY_NAMES else 0)
        values = [names.index(_text(value)) for value in values]
    elif min(values) > 0 and max(values) / min(values) >= SHOWN:
        axes.set_xscale("log")
    points = axes.scatter(values, [t.value for t in done], c=[t.number for t in done], cmap="Blues", edgecolors=BLUE)
    figure.colorbar(points, label="trial")
    return image(figure, f"{name} against {results.metric}")


def epochs_plot(results: Results) -> str:
    """Learning curves; those of pruned trials end early."""
    curves = [t for t in results.trials if t.epochs]
    if not curves:
        return note("No epochs were reported: what was measured was there already, or nothing is pruned by epochs.")
    figure, axes = figure_of("epoch", "validation score")
    for trial in curves:
        epochs = sorted(trial.epochs)
        color = BLUE if trial == results.best else GREY
        style = "--" if trial.state == "pruned" else "-"
        axes.plot(epochs, [trial.epochs[e] for e in epochs], style, color=color, marker=".", linewidth=1)
    axes.xaxis.get_major_locator().set_params(integer=True)
    return image(figure, "Validation score by epoch; the best trial in blue, pruned ones dashed")


def _trial_table(results: Results) -> str:
    """A row for each trial, best first."""
    names = _names(results)
    head = ("trial", "state", results.metric, *names, "seconds", "reason")
    return html_table(head, [_table_row(trial, names) for trial in results.ranked()])


def _table_row(trial: TrialRow, names: list[str]) -> list[str]:
    value = "" if trial.value is None else f"{trial.value:.4f}"
    took = "" if trial.seconds is None else f"{trial.seconds:.1f}"
    params = [_text(trial.params.get(name)) for name in names]
    return [cell(text) for text in (trial.number, trial.state, value, *params, took, trial.reason)]


def _names(results: Results) -> list[str]:
    """Parameters, the most important first."""
    every: Iterator[str] = (name for trial in results.trials for name in trial.params)
    return list(dict.fromkeys([*results.importance, *every]))


def _in_order(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, then the others by name."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0, _text(value)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
