"""A model card as Markdown, with the usual headings of model cards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

DATES = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
"""Timestamps between these two are printed as dates, others as numbers."""
SECOND = 1_000_000
"""In microseconds."""
ALL_RANKS = "valid_ndcg"
"""The NDCG of single positives without a cut-off, by the retriever or the ranker; longer names are NDCG@20 of lists."""
JUDGED = ("valid_retriever", "valid_dlrm", "valid_fused")
"""The same by the score of each, or the AUC if the ranker was trained on impressions."""


def as_markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown. Numbers are rounded for reading."""
    head = {"library_name": "merlin-cascade", "tags": card["tags"]}
    sections = {
        "Intended use": _points(card["use"]),
        "Limits": _points(card["limits"]),
        "Notices": _points(card["notices"]) or "None.",
        "Training data": _table(("", ""), data_rows(card["data"])),
        **_figures("", card),
        **{key: text for name, part in card["parts"].items() for key, text in _figures(f"{name}: ", part).items()},
        "Made from": _table(("stage", "digest"), list(card["lineage"].items())),
        "Configuration": f"```yaml\n{yaml.safe_dump(card['config'], sort_keys=False, default_flow_style=None)}```",
        "Software": _table(("package", "version"), list(card["packages"].items())),
    }
    title = f"# {card['title']}\n\n`{card['kind']}` {card['digest']}, stage version {card['stage_version']}."
    body = "\n\n".join(f"## {name}\n\n{text}" for name, text in sections.items() if text)
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n\n{title}\n\n{body}\n"


def _figures(prefix: str, part: Mapping[str, Any]) -> dict[str, str]:
    """Training, loss of each epoch, and validation of one model: heading -> text."""
    training = dict(part["training"])
    losses = training.pop("loss", [])
    curve = [(epoch, loss) for epoch, loss in enumerate(losses, start=1)] if isinstance(losses, list) else []
    return {
        f"{prefix}Training": _table(("", ""), list(flat(training))),
        f"{prefix}Training loss": _table(("epoch", "loss"), curve),
        f"{prefix}Validation": _table(("metric", "value"), [*_with_cut_offs(part["validation"])]),
    }


def _with_cut_offs(validation: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Metric and value; what a name does not say of the metric, such as its cut-off, is behind it."""
    for name, value in flat(validation):
        what = ""
        if name == ALL_RANKS:
            what = " (every rank counts)"
        elif name in JUDGED:
            what = " (NDCG, every rank counts)" if ALL_RANKS in validation else " (AUC)"
        elif name.startswith(ALL_RANKS) and "@" not in name:
            what = " (NDCG@20 of lists)"
        yield f"{name}{what}", value


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every leaf; entries of a list of mappings are numbered from 1.

    A value with its interval (low, high) is one leaf.
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and not {"low", "high"} <= value.keys():
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
            yield from flat({str(at): entry for at, entry in enumerate(value, 1)}, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def shown(value: Any) -> str:
    """A value as text: numbers with four significant digits, and with their interval if they have one."""
    if isinstance(value, Mapping):
        low, high = shown(value["low"]), shown(value["high"])
        middle = next((v for name, v in value.items() if name not in ("low", "high")), None)
        return f"{shown(middle)} ({low} to {high})" if middle is not None else f"{low} to {high}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(map(shown, value)) if isinstance(value, list) else str(value)


def data_rows(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The metrics of the data stage; the times of each part as dates, if they come from a clock."""
    spans, unit = data.get("time_span", {}), data.get("time_unit", SECOND)
    rows = list(flat({name: value for name, value in data.items() if name not in ("time_span", "time_unit")}))
    return [*rows, *((f"time, {part}", " to ".join(_time(at, unit) for at in span)) for part, span in spans.items())]


def _time(stamp: int, unit: int) -> str:
    """A timestamp in steps of ``unit`` microseconds."""
    seconds = stamp * unit // SECOND
    if DATES[0].timestamp() <= seconds < DATES[1].timestamp():
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return str(stamp)


def _points(sentences: Sequence[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _table(head: Sequence[str], rows: Sequence[tuple[Any, Any]]) -> str:
    """A Markdown table; an empty string if there are no rows."""
    from tabulate import tabulate

    if not rows:
        return ""
    return tabulate([(name, shown(value)) for name, value in rows], head, tablefmt="pipe", disable_numparse=True)
