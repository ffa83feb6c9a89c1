"""From the config's columns to features: which side each is on, and what the models will see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...core.errors import ConfigError
from ...core.features import Side
from ..config import SchemaConfig
from .validate import nearest

TABLES: dict[Side, str] = {"user": "users", "context": "interactions", "item": "items"}
AFTERWARDS = ("label", "positive", "split", "timestamp")
"""Interactions columns that are known only after the event, or that are no property of it."""

RESERVED = (
    *("history", "history_ids", "rejected_ids", "exclude_items", "top_k", "temperature", "seed"),
    *("history_gap", "history_times"),
    *("user_row", "item_row"),
)
"""Names that mean something else in the tensors or in a request."""

Kinds = Mapping[str, Mapping[str, str]]
"""Table -> column -> ``int``, ``float``, ``string`` or ``list_`` of these."""


@dataclass(frozen=True)
class RawFeature:
    """A feature before anything is fitted: where it comes from."""

    name: str
    side: Side
    role: Literal["categorical", "continuous", "cross", "text", "vector"]
    raw: tuple[str, ...]
    kinds: tuple[str, ...]
    """Types of the raw columns."""
    buckets: int = 0
    """Rows that it is hashed into; 0: it has a vocabulary."""

    @property
    def is_list(self) -> bool:
        return self.kinds[0].startswith("list_")


def sides_of(schema: SchemaConfig, kinds: Kinds) -> tuple[RawFeature, ...]:
    """Every feature of the config, users first, then context, then items; crosses at the end of their side.

    Raises:
        ConfigError: if a column is in no table or in two, or is of a type that its role cannot have.
    """
    found = {column: _side(key, column, kinds) for key in ("sparse", "dense") for column in getattr(schema, key)}
    features = []
    for column in schema.sparse:
        kind = _kind(column, found, kinds)
        if found[column] == "context" and kind.startswith("list_"):
            raise ConfigError(f"schema.sparse: interactions.{column} is a list; only users and items have lists")
        features.append(RawFeature(column, found[column], "categorical", (column,), (kind,)))
    for column in schema.dense:
        kind = _kind(column, found, kinds)
        if column in schema.sparse:
            raise ConfigError(f"schema.dense: {column!r} is in schema.sparse too; a column has one role")
        if kind not in ("int", "float"):
            raise ConfigError(f"schema.dense: {TABLES[found[column]]}.{column} is of type {kind}, expected a number")
        features.append(RawFeature(column, found[column], "continuous", (column,), (kind,)))
    features += [_cross(columns, found, kinds) for columns in schema.crosses]
    features += [_content("text", column, kinds) for column in schema.text]
    features += [_content("vectors", column, kinds) for column in schema.vectors]
    _check_names(features)
    return tuple(f for side in TABLES for f in features if f.side == side)


def _check_names(features: Sequence[RawFeature]) -> None:
    """Every feature has a name of its own."""
    names = [feature.name for feature in features]
    for name in RESERVED:
        if name in names:
            raise ConfigError(f"schema: {name!r} is a name of ours; rename the column with data.columns")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"schema: {', '.join(sorted(twice))} is named twice, as a column or as a cross")


def check_known_before(schema: SchemaConfig, names: Iterable[str], where: str) -> None:
    """None of ``names``, which tell what came of an event, is a feature.

    Raises:
        ConfigError: naming the column and ``where`` it is used.
    """
    for name in names:
        if name in (*schema.sparse, *schema.dense):
            raise ConfigError(
                f"schema: {name!r} is a feature, and {where} reads it: what comes of an event cannot predict it"
            )


def _side(key: str, column: str, kinds: Kinds) -> Side:
    if column in ("user_id", "item_id"):
        return "user" if column == "user_id" else "item"
    sides = [side for side, table in TABLES.items() if column in kinds[table]]
    if not sides:
        every = {c for columns in kinds.values() for c in columns}
        tables = "; ".join(f"{table}: {', '.join(kinds[table])}" for table in TABLES.values())
        raise ConfigError(f"schema.{key}: {column!r} is in no table{nearest(column, every)} ({tables})")
    if len(sides) > 1:
        tables = " and ".join(TABLES[side] for side in sides)
        raise ConfigError(f"schema.{key}: {column!r} is in {tables}; rename one of them, so that its side is clear")
    if sides[0] == "context" and column in AFTERWARDS:
        raise ConfigError(f"schema.{key}: {column!r} is not known before the event, so it cannot be a feature")
    return sides[0]


def _kind(column: str, found: Mapping[str, Side], kinds: Kinds) -> str:
    return kinds[TABLES[found[column]]][column]


def _content(key: Literal["text", "vectors"], column: str, kinds: Kinds) -> RawFeature:
    """A column of text or of pretrained vectors, which items alone have."""
    side = _side(key, column, kinds)
    if side != "item":
        raise ConfigError(
            f"schema.{key}: {TABLES[side]}.{column} is not of items; text and vectors are for items alone, as they are "
            "computed when the index is built, not for a request"
        )
    kind, fitting = kinds[TABLES[side]][column], {"text": ("string",), "vectors": ("list_float", "list_int")}[key]
    if kind not in fitting:
        expected = {"text": "text", "vectors": "a list of numbers"}[key]
        raise ConfigError(f"schema.{key}: items.{column} is of type {kind}, expected {expected}")
    return RawFeature(column, side, "text" if key == "text" else "vector", (column,), (kind,))


def _cross(columns: list[str], found: Mapping[str, Side], kinds: Kinds) -> RawFeature:
    """The combination of columns of one side, or of the user's and the context's, which is context then."""
    shown = f"schema.crosses: {columns}"
    if len(columns) < 2 or len(set(columns)) < len(columns):
        raise ConfigError(f"{shown}: expected two or more different columns")
    for column in columns:
        if column not in found:
            raise ConfigError(f"{shown}: {column!r} is not in schema.sparse{nearest(column, found)}")
    types = tuple(_kind(column, found, kinds) for column in columns)
    if any(kind.startswith("list_") for kind in types):
        raise ConfigError(f"{shown}: a list column cannot be crossed")
    sides = {found[column] for column in columns}
    if "item" in sides and len(sides) > 1:
        raise ConfigError(f"{shown}: an item column crosses only with item columns (this is {sorted(sides)})")
    side: Side = sides.pop() if len(sides) == 1 else "context"
    return RawFeature("_".join(columns), side, "cross", tuple(columns), types)
