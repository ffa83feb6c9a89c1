"""Which columns become features: the table, the role and the type of each, before anything is fitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ...core.errors import ConfigError
from ...core.features import Side
from ..config import SchemaConfig
from .names import problem, way_out, way_out_of
from .validate import nearest

TABLES: dict[Side, str] = {"user": "users", "context": "interactions", "item": "items"}
NOT_FEATURES = ("label", "positive", "split", "timestamp")
"""Columns of interactions that are known only after the event, or do not describe it."""

Kinds = Mapping[str, Mapping[str, str]]
"""Table -> column -> ``int``, ``float``, ``string`` or ``list_`` of these."""


@dataclass(frozen=True)
class RawFeature:
    """A feature before anything is fitted: its side, its role and the columns that it is computed from."""

    name: str
    side: Side
    role: Literal["categorical", "continuous", "cross", "text", "vector"]
    raw: tuple[str, ...]
    """The columns that it is computed from: one, or several for a cross."""
    kinds: tuple[str, ...]
    """The kind of each of ``raw``: ``int``, ``float``, ``string``, or ``list_`` and one of these."""
    buckets: int = 0
    """The number of buckets that its values are hashed into; 0 if it has a vocabulary."""

    @property
    def is_list(self) -> bool:
        return self.kinds[0].startswith("list_")


def raw_features(schema: SchemaConfig, kinds: Kinds) -> tuple[RawFeature, ...]:
    """All features of the config: user features, then context, then items; crosses at the end of their side.

    A column's table decides its side: users, interactions (context) or items.

    Raises:
        ConfigError: if a column is in no table or in two, or its type does not fit its role.
    """
    roles = [*(("sparse", column) for column in schema.sparse), *(("dense", column) for column in schema.dense)]
    found: dict[str, Side] = {column: _side(key, column, kinds) for key, column in roles}
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
    """Feature names are unique, and none of them means something else."""
    names = [feature.name for feature in features]
    for feature in features:
        if (why := problem(feature.name, feature.side)) is not None:
            where = f"{TABLES[feature.side]}.{feature.name}"
            raise ConfigError(f"schema: {where} cannot be a feature, {why}; {way_out(feature.name, names)}")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ConfigError(f"schema: {', '.join(sorted(twice))} is named twice, as a column or as a cross")


def check_known_before(schema: SchemaConfig, names: Iterable[str], where: str) -> None:
    """Check that none of ``names``, which are known only after the event, is a feature.

    Args:
        where: the config key that reads ``names``, for the message.

    Raises:
        ConfigError: naming the column and ``where``.
    """
    for name in names:
        if name in (*schema.sparse, *schema.dense):
            raise ConfigError(
                f"schema: {name!r} is a feature, and {where} reads it: what is known only afterwards cannot predict it"
            )


def _side(key: str, column: str, kinds: Kinds) -> Side:
    if column in ("user_id", "item_id"):
        return "user" if column == "user_id" else "item"
    sides: list[Side] = [side for side, table in TABLES.items() if column in kinds[table]]
    if not sides:
        every = {c for columns in kinds.values() for c in columns}
        tables = "; ".join(f"{table}: {', '.join(kinds[table])}" for table in TABLES.values())
        raise ConfigError(f"schema.{key}: {column!r} is in no table{nearest(column, every)} ({tables})")
    if len(sides) > 1:
        tables = " and ".join(TABLES[side] for side in sides)
        table = next(TABLES[side] for side in sides if side != "context")
        taken = [name for columns in kinds.values() for name in columns]
        raise ConfigError(f"schema.{key}: {column!r} is in {tables}; {way_out_of(table, column, taken)}")
    if sides[0] == "context" and column in NOT_FEATURES:
        raise ConfigError(f"schema.{key}: {column!r} is not known before the event, so it cannot be a feature")
    return sides[0]


def _kind(column: str, found: Mapping[str, Side], kinds: Kinds) -> str:
    return kinds[TABLES[found[column]]][column]


def _content(key: Literal["text", "vectors"], column: str, kinds: Kinds) -> RawFeature:
    """A column of text or pretrained vectors, which only items may have."""
    side = _side(key, column, kinds)
    if side != "item":
        raise ConfigError(
            f"schema.{key}: {TABLES[side]}.{column} is not a column of items; only items have text and vectors, as "
            "they are computed when the index is built, not for a request"
        )
    kind, fitting = kinds[TABLES[side]][column], {"text": ("string",), "vectors": ("list_float", "list_int")}[key]
    if kind not in fitting:
        expected = {"text": "text", "vectors": "a list of numbers"}[key]
        json_lists = key == "vectors" and kind == "string"
        way_out = f"; data.separators: {{{column}: json}} reads text such as [0.1, 0.2]" if json_lists else ""
        raise ConfigError(f"schema.{key}: items.{column} is of type {kind}, expected {expected}{way_out}")
    return RawFeature(column, side, "text" if key == "text" else "vector", (column,), (kind,))


def _cross(columns: list[str], found: Mapping[str, Side], kinds: Kinds) -> RawFeature:
    """The combination of columns of one side, or of users and context; the latter is a context feature."""
    shown = f"schema.crosses: {columns}"
    if len(columns) < 2 or len(set(columns)) < len(columns):
        raise ConfigError(f"{shown}: expected two or more different columns")
    for column in columns:
        if column not in found:
            raise ConfigError(f"{shown}: {column!r} is not in schema.sparse{nearest(column, found)}")
    types = tuple(_kind(column, found, kinds) for column in columns)
    if any(kind.startswith("list_") for kind in types):
        raise ConfigError(f"{shown}: a list column cannot be crossed")
    sides: set[Side] = {found[column] for column in columns}
    if "item" in sides and len(sides) > 1:
        raise ConfigError(f"{shown}: an item column crosses only with item columns (this is {sorted(sides)})")
    side: Side = sides.pop() if len(sides) == 1 else "context"
    return RawFeature("_".join(columns), side, "cross", tuple(columns), types)
