"""What ``cascade recommend`` does: ask a server, print a table or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.errors import RequestError
from .client import DEFAULT_URL, CascadeClient, RawId, Recommendation


def recommend(
    users: Sequence[str],
    *,
    top_k: int | None = None,
    context: Sequence[str] = (),
    exclude: Sequence[str] = (),
    temperature: float | None = None,
    seed: int | None = None,
    url: str = DEFAULT_URL,
    model: str = "cascade",
    as_json: bool = False,
    titles: Mapping[RawId, str] | None = None,
) -> str:
    """The text to print for these users.

    Args:
        users: raw ids as typed; read as numbers where the model's ids are.
        context: ``column=value`` each.
        exclude: raw ids of items that must not come back.
        as_json: one object for one user, a list for several.
        titles: raw item id -> what to show beside it in the table.

    Raises:
        RequestError: naming the input that cannot be answered.
        ServerError: if no server answers.
    """
    with CascadeClient(url, model) as client:
        answers = client.recommend(
            client.raw_ids(users),
            top_k=top_k,
            context=parse_context(context),
            exclude_items=list(exclude),
            temperature=temperature,
            seed=seed,
        )
    if as_json:
        objects = [answer.to_json() for answer in answers]
        return json.dumps(objects[0] if len(objects) == 1 else objects, ensure_ascii=False)
    return "\n\n".join(table(answer, titles or {}) for answer in answers)


def parse_context(pairs: Sequence[str]) -> dict[str, Any]:
    """``["hour=20"]`` as ``{"hour": "20"}``.

    Raises:
        RequestError: for a pair without ``=``.
    """
    for pair in pairs:
        if "=" not in pair:
            raise RequestError(f"context {pair!r}: expected column=value, e.g. hour=20")
    return dict(pair.split("=", 1) for pair in pairs)


def table(answer: Recommendation, titles: Mapping[RawId, str]) -> str:
    """One user's answer for people: a headline, the items in columns, the time of each stage."""
    head = ["#", "item", "score", "propensity", *(["title"] if titles else [])]
    rows = [
        [str(place), str(item.item_id), f"{item.score:.4f}", f"{item.propensity:.4f}"]
        + ([titles.get(item.item_id, "")] if titles else [])
        for place, item in enumerate(answer.items, 1)
    ]
    reasons = f", {', '.join(answer.reasons)}" if answer.reasons else ""
    stages = "  ".join(f"{name} {took:.2f}" for name, took in answer.stages_ms.items())
    total = sum(answer.stages_ms.values())
    return "\n".join(
        [
            f"user {answer.user_id}, release {answer.release}{reasons}",
            *_aligned([head, *rows]),
            f"{total:.2f} ms in the graph: {stages}",
        ]
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell; the first four are right-aligned, a title is not."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join([*map(str.rjust, row[:4], widths), *row[4:]]) for row in rows]
