"""Handmade etl artifacts: a small shop whose users have a taste and whose items differ in popularity."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from cascade.core.artifact import Artifact, write_artifact
from cascade.core.features import Feature, FeatureSchema
from cascade.workflows.history.gaps import CODES

CODE = 3
"""The first code of known values."""


def make_shop(
    folder: Path,
    users: int = 200,
    items: int = 60,
    events: int = 12,
    history: int = 5,
    rich: bool = True,
    label: bool = False,
    valid: bool = True,
    strings: bool = False,
    dislikes: bool = False,
    labels: bool = False,
    gaps: bool = False,
    content: bool = False,
    seed: int = 0,
) -> dict[str, Artifact]:
    """A data and an etl artifact.

    Lower item rows are more popular. Four in five events are of the user's taste: items whose row equals the user's
    row modulo 4.

    Args:
        rich: user, item and context features in addition to the ids.
        label: impressions with a label that follows the taste.
        dislikes: a fifth of the interactions are not positive.
        gaps: time gaps of the history; the n-th event of a user was at 3^n seconds.
        content: items have a text ``title`` and a vector ``image``, the image of their taste with noise.
        labels: two further labels: ``click`` equals ``label``, ``like`` is ``click`` for even item rows, else 0.
    """
    rng = np.random.default_rng(seed)
    tastes = np.arange(users) % 4
    rows, past, seconds, first = [], list[int](), list[int](), [0]
    for user in range(users):
        popular = np.argsort(np.arange(items) / 8 - rng.gumbel(size=items))
        chosen: list[int] = []
        for at in range(events):
            own = [i for i in popular if i % 4 == tastes[user] and i not in chosen]
            free = [i for i in popular if i not in chosen]
            chosen.append(int(own[0] if own and rng.random() < 0.8 else free[0]))
            item = chosen[-1]
            positive = not (dislikes and rng.random() < 0.2)
            if label:
                positive = bool(rng.random() < (0.8 if item % 4 == tastes[user] else 0.2))
            split = "test" if at == events - 1 else "valid" if valid and at == events - 2 else "train"
            rows.append((user, item, at, positive, split, len(past)))
            if positive:
                past.append(item + CODE)
                seconds.append(3**at)
        first.append(len(past))
    features = [Feature("user_id", "user", "categorical", users + CODE, raw=("user_id",))]
    tables = {"user_id": np.arange(users) + CODE}
    item_tables = {"item_id": np.arange(items) + CODE}
    if rich:
        features += [
            Feature("city", "user", "categorical", 4 + CODE, raw=("city",)),
            Feature("age", "user", "continuous", raw=("age",)),
        ]
        tables |= {"city": tastes + CODE, "age": rng.normal(size=users)}
    features.append(Feature("history", "user", "categorical", items + CODE, history, "item_id", ("history_ids",)))
    if gaps:
        features.append(Feature("history_gap", "user", "categorical", CODES, history, raw=("history_times",)))
    if rich:
        features.append(Feature("hour", "context", "continuous", raw=("hour",)))
    features.append(Feature("item_id", "item", "categorical", items + CODE, raw=("item_id",)))
    if rich:
        features += [
            Feature("genres", "item", "categorical", 4 + CODE, 3, raw=("genres",)),
            Feature("price", "item", "continuous", raw=("price",)),
        ]
        genres = np.zeros((items, 3), int)
        genres[:, 0] = np.arange(items) % 4 + CODE
        item_tables |= {"genres": genres, "price": rng.normal(size=items)}
    if content:
        features += [
            Feature("title", "item", "categorical", 51, 4, raw=("title",)),
            Feature("image", "item", "vector", length=6, raw=("image",)),
        ]
        image = np.eye(4, 6)[np.arange(items) % 4] + 0.2 * rng.normal(size=(items, 6))
        item_tables |= {
            "title": rng.integers(0, 51, (items, 4)),
            "image": image / np.linalg.norm(image, axis=1, keepdims=True),
        }
    schema = FeatureSchema(tuple(features))

    def fill_etl(path: Path) -> None:
        schema.save(path / "schema.json")
        for side, columns in (("users", tables), ("items", item_tables)):
            (path / side).mkdir()
            for name, values in columns.items():
                kind = np.int32 if schema[name].kind == "categorical" else np.float32
                np.save(path / side / f"{name}.npy", values.astype(kind).reshape(len(values), -1))
        prefix = (lambda n, letter: np.array([f"{letter}{i:04d}" for i in range(n)])) if strings else None
        np.save(path / "user_ids.npy", prefix(users, "u") if prefix else np.arange(users))
        np.save(path / "item_ids.npy", prefix(items, "i") if prefix else np.arange(items))
        train = [item for _, item, _, positive, split, _ in rows if split == "train" and positive]
        np.save(path / "item_counts.npy", np.bincount(train, minlength=items))
        for split in ("train", "valid", "test"):
            write_split(path / "interactions" / split, [row for row in rows if row[4] == split], rich, labels)
        (path / "positives").mkdir()
        np.save(path / "positives" / "first.npy", np.array(first, np.int64))
        np.save(path / "positives" / "code.npy", np.array(past, np.int32))
        if gaps:
            np.save(path / "positives" / "seconds.npy", np.array(seconds, np.int64))

    def fill_data(path: Path) -> None:
        facts = {"has_label": label, "seen": "drop", "held_out_repeat_share": 0.0}
        (path / "tables.json").write_text(json.dumps(facts))

    data = write_artifact(folder / "data", "data", {}, fill_data)
    return {"data": data, "etl": write_artifact(folder / "etl", "etl", {"data": data}, fill_etl)}


def write_split(folder: Path, rows: list[Any], rich: bool, labels: bool) -> None:
    (folder / "context").mkdir(parents=True)
    user, item, at, positive, _, end = zip(*rows, strict=True) if rows else ((),) * 6
    label = np.array(positive, np.float32)
    columns = {
        "user_row": np.array(user, np.int32),
        "item_row": np.array(item, np.int32),
        "timestamp": np.array(at, np.int64),
        "positive": np.array(positive, bool),
        "label": label,
        "history_end": np.array(end, np.int64),
    }
    if rich:
        columns["context/hour"] = np.array([(t % 24) / 12 - 1 for t in at], np.float32)
    if labels:
        (folder / "labels").mkdir()
        columns["labels/click"] = label
        columns["labels/like"] = label * (np.array(item) % 2 == 0)
    for name, values in columns.items():
        np.save(folder / f"{name}.npy", values)
