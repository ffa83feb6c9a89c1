"""Reports a study as text and as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from ..core.page import cell, document, figure_of, html_table, image, note
from ..core.text_table import table
from .results import Results, TrialRow

BLUE, GREY, RED = "#1f77b4", "#9aa0a6", "#c44e52"
SHOWN = 10
"""Trials in the text table; the page lists all."""
TOO_MANY_NAMES = 8
"""With more choices, the labels below an axis are rotated."""
LOG_SCALE_FROM = 10
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


def as_text(results: Results) -> str:
    """A table of the best trials, a summary, the parameter importance, and why trials ended early."""
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
    """One line with the number of trials, the best value, and the value before tuning."""
    counts = ", ".join(f"{count} {state}" for state, count in results.counts().items() if count)
    best = results.best
    found = f"best {results.metric} {best.value:.4f} (trial {best.number})" if best else "no trial completed"
    before = "" if results.baseline is None else f", before tuning {results.baseline:.4f}"
    return f"{results.study}: {counts or 'no trials'}; {found}{before}"


def as_html(results: Results) -> str:
    """The page: optimization history, parameter importance, each parameter against the metric, learning curves, and a
    table of all trials."""
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
    """The metric of each trial, and the best value so far."""
    done = results.complete
    if not done:
        return note("No trial has completed.")
    figure, axes = figure_of("trial", results.metric)
    numbers, values = [t.number for t in done], [float(t.value or 0) for t in done]
    better = max if results.maximize else min
    best = [better(values[: at + 1]) for at in range(len(values))]
    axes.scatter(numbers, values, color=GREY, s=18, label="trial")
    axes.step(numbers, best, where="post", color=BLUE, label="best so far")
    if results.baseline is not None:
        axes.axhline(results.baseline, color=RED, linewidth=1, linestyle="--", label="before tuning")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False)
    return image(figure, "Optimization history")


def importance_plot(results: Results) -> str:
    """A bar for each parameter."""
    if not results.importance:
        return note("Too few trials to estimate the importance of parameters.")
    figure, axes = figure_of("share of the metric's variance (fANOVA)", "")
    names = list(results.importance)
    bars = axes.barh(names, list(results.importance.values()), color=BLUE)
    axes.bar_label(bars, [f"{share:.0%}" for share in results.importance.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * max(results.importance.values()))
    return image(figure, "Parameter importance")


def slice_plot(results: Results, name: str) -> str:
    """The metric of each trial against one parameter."""
    done = [t for t in results.complete if name in t.params]
    if not done:
        return ""
    figure, axes = figure_of(name, results.metric)
    values = [t.params[name] for t in done]
    if any(isinstance(value, str | bool) or value is None for value in values) or len(set(values)) < len(values):
        names = [_text(value) for value in sorted(set(values), key=_in_order)]
        axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > TOO_MANY_NAMES else 0)
        values = [names.index(_text(value)) for value in values]
    elif min(values) > 0 and max(values) / min(values) >= LOG_SCALE_FROM:
        axes.set_xscale("log")
    points = axes.scatter(values, [t.value for t in done], c=[t.number for t in done], cmap="Blues", edgecolors=BLUE)
    figure.colorbar(points, label="trial")
    return image(figure, f"{name} against {results.metric}")


def epochs_plot(results: Results) -> str:
    """The validation score of each epoch, one curve for each trial."""
    curves = [t for t in results.trials if t.epochs]
    if not curves:
        return note("No epochs were reported: either nothing had to be trained, or the study has no pruner.")
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
    """The parameters, most important first."""
    every: Iterator[str] = (name for trial in results.trials for name in trial.params)
    return list(dict.fromkeys([*results.importance, *every]))


def _in_order(value: Any) -> tuple[bool, float, str]:
    """Sort key: numbers by value, then other values by name."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0, _text(value)


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
