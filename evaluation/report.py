"""The evaluation report as a self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.page import cell, document, fact_table, figure_of, header, html_table, image, note
from ..ensemble.graph.ops.order import sigmoid
from ..models import metrics
from .baselines.tuning import tuning_lines
from .baselines.validation import TUNED_BY
from .funnel import source_lines
from .method_metrics import OURS
from .new_items import HEAD, new_item_hint, new_item_line, new_item_rows
from .ranking import LOWER
from .ranking_lists import LIST, RECALL_AT

Intervals = Mapping[str, Sequence[float] | None]
"""Metric -> lower and upper bound; None for a metric that has no value."""
SHOWN = {"retrieval": "retriever"}
"""Key of the metrics -> the method's name in tables and lines, where they differ."""
TITLES = {
    "popularity": "Popularity",
    "ials": "iALS",
    "item_knn": "Item nearest neighbours",
    "ease": "EASE",
    "recency_ease": "EASE, newest items first",
    "markov": "Markov chain",
    "lightgbm": "LightGBM",
    "factorization_machine": "Factorization machine",
    "ranker": "Ranker",
    "retrieval": "Retriever, exact search",
    "served_retrieval": "Retriever, as served",
    "cascade": "Cascade",
}
HISTORY = {
    "at_event": "history just before each impression",
    "before_test": "history before the test part",
}
"""``evaluation.history`` -> how it is shown."""
SERVED = (
    "Retriever, as served: the candidates that the served index and the other sources give the ranker, in the order of "
    "retrieval. Retriever, exact search: the same scores of all items, so what it has more is lost by the index."
)
LEFT_OUT = (
    "The ranker is left out of the release (see the notices, and dlrm_ranker.order_by): the calibrated score of the "
    "retriever orders the list, and these are its figures."
)
ITSELF = "The tables of logged impressions below measure the ranker itself."
CASCADE = "cascade - "
"""How the key of a difference between the cascade and another method begins."""
BELOW = "Worse than a simpler method:"
COLORS = {
    **{"popularity": "#9aa0a6", "ials": "#5f9ea0", "item_knn": "#8c564b"},
    **{"ease": "#b8860b", "recency_ease": "#d2a24c", "markov": "#8172b2"},
    **{"retrieval": "#1f77b4", "served_retrieval": "#17becf", "cascade": "#c44e52"},
}


def render(results: Mapping[str, Any], facts: Mapping[str, Any], logits: NDArray[Any], label: NDArray[Any]) -> str:
    """The page.

    Args:
        results: the content of metrics.json.
        facts: facts about the run, name -> value.
        logits: float32 [M], of the pairs that the ranker is measured on.
        label: bool [M], of the same pairs.
    """
    methods, intervals = ({**of["baselines"], **{n: of[n] for n in OURS}} for of in (results, results["intervals"]))
    measured = {name: values for name, values in methods.items() if "skipped" not in values}
    return document(
        "evaluation",
        "Evaluation through the served graph",
        f"""{fact_table(facts)}
<h2>Full ranking over the catalogue, mean over test users</h2>
{_paragraphs(verdict_lines(results))}
{comparison(measured, intervals)}
{note(how(results["intervals"]))}
{note(SERVED)}
{_paragraphs(difference_lines(results["differences"]))}
{"".join(map(note, _warning(below_lines(results))))}
{"".join(map(note, skipped_lines(methods)))}
{_paragraphs(tuning_lines(results["tuning"], TUNED_BY))}
{recall_curve(measured)}
<h2>Where relevant items are lost</h2>
{note(f"An item is found when it is among the first {LIST} of the answer.")}
{funnel_bars(results["funnel"])}
{_paragraphs(source_lines(results["sources"]))}
<h2>{ranker_title(results)}</h2>
{"".join(map(note, left_out_lines(results)))}
{single_row(results["ranking"], results["intervals"]["ranking"])}
{calibration_curve(logits, label)}
<h2>New items</h2>
{new_item_table(results["new_items"])}
{impression_tables(results["impressions"])}
<h2>Slices of the cascade</h2>
{slice_table(results["slices"])}""",
    )


def ranker_title(results: Mapping[str, Any]) -> str:
    """What the ranker's figures are called; those of an older evaluation do not say whether it is served."""
    return "Ranker (left out)" if results.get("ordered_by") == "retriever" else "Ranker"


def left_out_lines(results: Mapping[str, Any]) -> list[str]:
    """What the ranker's figures are, if the release leaves it out."""
    if results.get("ordered_by") != "retriever":
        return []
    return [LEFT_OUT, *([ITSELF] if results["impressions"] else [])]


def comparison(methods: Mapping[str, Mapping[str, float]], intervals: Mapping[str, Intervals]) -> str:
    """A row for each method and a column for each metric: the best value in bold, intervals below the values."""
    columns = list(dict.fromkeys(name for values in methods.values() for name in values))
    best = {name: _best(name, [values.get(name) for values in methods.values()]) for name in columns}
    rows = []
    for method, values in methods.items():
        own, row = intervals.get(method, {}), [header(TITLES.get(method, method))]
        for name in columns:
            value = values.get(name)
            row.append(_number_cell(value, own.get(name), best=value is not None and value == best[name]))
        rows.append(row)
    return html_table(["", *columns], rows)


def impression_tables(labels: Mapping[str, Mapping[str, Any]]) -> str:
    """For each label of logged impressions: the metrics of the ranker and the baselines, and their differences."""
    parts = []
    for label, found in labels.items():
        measured = {name: values for name, values in found["methods"].items() if "skipped" not in values}
        title = f"Logged impressions: {label}, {HISTORY[found['history']]}"
        parts.append(f"<h3>{escape(title)}</h3>{comparison(measured, found['intervals'])}")
        lines = [*difference_lines(found["differences"]), *skipped_lines(found["methods"])]
        parts.append(_paragraphs([*lines, *tuning_lines(found["tuning"], "AUC")]))
    return "".join(parts)


def skipped_lines(methods: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each method that was left out: ``LightGBM: reason``."""
    return [f"{TITLES.get(name, name)}: {values['skipped']}" for name, values in methods.items() if "skipped" in values]


def _best(metric: str, values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return (min if metric in LOWER else max)(known, default=None)


def _warning(lines: Sequence[str]) -> list[str]:
    return [f"{BELOW} {'; '.join(lines)}"] if lines else []


def single_row(values: Mapping[str, float | None], intervals: Intervals) -> str:
    """A table of one row, with a column for each metric."""
    return html_table([*values], [[_number_cell(value, intervals.get(name)) for name, value in values.items()]])


def slice_table(slices: Sequence[Mapping[str, Any]]) -> str:
    """One row for each slice."""
    columns = [name for name in slices[0] if name != "slice"]
    rows = [
        [header(part["slice"]), *(cell(f"{v:,}") if isinstance(v, int) else _number_cell(v) for v in values)]
        for part in slices
        for values in [[part[name] for name in columns]]
    ]
    return html_table(["", *columns], rows)


def new_item_table(found: Mapping[str, Any]) -> str:
    """How many new items there are, and one row for each ranking that they are measured in."""
    rows = [[header(title), *map(_number_cell, figures)] for title, *figures in new_item_rows(found)]
    return note(new_item_line(found)) + (html_table(HEAD, rows) if rows else "") + _paragraphs(new_item_hint(found))


def how(intervals: Mapping[str, Any]) -> str:
    """How the intervals were computed."""
    return f"{intervals['level']:.0%} intervals by bootstrap over users, {intervals['replicates']:,} draws."


def difference_lines(differences: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """A line for each difference: ``NDCG@10, cascade - retriever: +0.0123 [+0.0050, +0.0200]``."""
    return [
        f"{metric.upper()}, {_shown(pair)}: {v['value']:+.4f} [{v['low']:+.4f}, {v['high']:+.4f}]"
        for pair, metrics in differences.items()
        for metric, v in metrics.items()
    ]


def verdict_lines(results: Mapping[str, Any]) -> list[str]:
    """Whether the cascade is better than the best baseline; no line if there is none.

    ``The cascade is better than the best simple method (ease) by 0.0459 NDCG@10 [0.0305, 0.0619]: certain``.
    """
    return [
        f"The cascade is {_word(each['value'])} than the best simple method ({pair.removeprefix(CASCADE)}) by "
        f"{abs(each['value']):.4f} {metric.upper()} [{low:.4f}, {high:.4f}]: "
        f"{'certain' if low > 0 or high < 0 else 'may be chance'}"
        for pair, metrics in results.get("differences", {}).items()
        if pair.startswith(CASCADE) and pair != f"{CASCADE}retrieval"
        for metric, each in metrics.items()
        for low, high in [_ahead(each)]
    ]


def _ahead(difference: Mapping[str, float]) -> tuple[float, float]:
    """The interval of how far ahead the method is that has more."""
    low, high = difference["low"], difference["high"]
    return (low, high) if difference["value"] >= 0 else (-high, -low)


def _word(difference: float) -> str:
    return "better" if difference > 0 else "worse" if difference < 0 else "no better"


def below_lines(results: Mapping[str, Any]) -> list[str]:
    """The differences of our methods from others in which ours is worse, whether or not the interval holds 0."""
    named = {"": results["differences"]}
    named |= {f"{label}: ": found["differences"] for label, found in results["impressions"].items()}
    return [
        f"{name}{line}{'' if value['low'] > 0 or value['high'] < 0 else ', may be chance'}"
        for name, differences in named.items()
        for pair, metrics in differences.items()
        for metric, value in metrics.items()
        if (value["value"] > 0 if metric in LOWER else value["value"] < 0)
        for line in difference_lines({pair: {metric: value}})
    ]


def _shown(pair: str) -> str:
    """``cascade - retriever`` of the key ``cascade - retrieval``."""
    return " - ".join(SHOWN.get(name, name) for name in pair.split(" - "))


def recall_curve(methods: Mapping[str, Mapping[str, float]]) -> str:
    figure, axes = figure_of("items retrieved, k", "recall@k")
    for method, values in methods.items():
        if f"recall@{RECALL_AT[-1]}" in values:  # the cascade's list is too short for a curve
            recalls = [values[f"recall@{k}"] for k in RECALL_AT]
            axes.plot(RECALL_AT, recalls, marker="o", label=TITLES.get(method, method), color=COLORS.get(method))
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    return image(figure, "Recall at k of the retriever and the baselines")


def funnel_bars(funnel: Mapping[str, Mapping[str, float]]) -> str:
    names = [name.replace("_", " ") for name in funnel]
    shares = [part["share"] for part in funnel.values()]
    figure, axes = figure_of("share of the relevant items", "")
    colors = ["#55a868" if name == "found" else "#c9ccd1" for name in names]
    bars = axes.barh(names, shares, color=colors)
    axes.bar_label(bars, [f"{p['share']:.1%}  ({p['count']:,})" for p in funnel.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlim(0, min(1.0, max(shares)) * 1.3)
    return image(figure, "Share of relevant items by where they were lost")


def calibration_curve(logits: NDArray[Any], label: NDArray[Any]) -> str:
    predicted, observed, _ = metrics.calibration(sigmoid(logits.astype(np.float64)), label)
    top = 1.05 * max(predicted.max(), observed.max())
    figure, axes = figure_of("mean predicted probability", "observed rate")
    axes.plot([0, top], [0, top], color="#c9ccd1", linewidth=1)
    axes.plot(predicted, observed, marker="o", color=COLORS["cascade"])
    return image(figure, "Calibration of the ranker, bins of equally many rows")


def _paragraphs(lines: Sequence[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _number_cell(value: float | None, interval: Sequence[float] | None = None, best: bool = False) -> str:
    """Four decimals, the interval below, bold if ``best``; empty for None."""
    text = "" if value is None else f"{value:.4f}"
    if value is not None and interval:
        text += "<br><small>[{:.4f}, {:.4f}]</small>".format(*interval)
    return f'<td class="best">{text}</td>' if best else f"<td>{text}</td>"
