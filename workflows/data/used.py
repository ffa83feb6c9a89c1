"""Which columns of a source somebody reads; the others are neither read nor checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ...core.errors import ConfigError
from ..config import DataConfig, SchemaConfig
from ..sources import Source
from ..tables.canonical import IDS
from ..tables.validate import check_required, nearest
from .expressions import check_expression, names_in

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, Collection[str]]
"""Table -> its columns."""


def used_columns(config: DataConfig, schema: SchemaConfig) -> dict[str, frozenset[str]]:
    """The columns of each table that the config names, or that have a meaning of their own, such as ``timestamp``."""
    features = {*schema.sparse, *schema.dense, *schema.text, *schema.vectors, *config.keep}
    events = {*IDS, "timestamp", "label", *config.labels, *_in_expressions(config)}
    if config.has_order:
        events.add("order")
    if config.split.given is not None:
        events.add(config.split.given)
    return {
        "interactions": frozenset(features | events),
        "users": frozenset(features - {"item_id"}),
        "items": frozenset((features | {config.title or "title"}) - {"user_id"}),
    }


def _in_expressions(config: DataConfig) -> set[str]:
    positive = names_in(config.positive) if config.positive else set()
    return positive | (names_in(config.label, "data.label") if config.label else set())


def only_used(source: Source, used: Columns) -> Source:
    """The source without the columns that nobody reads; it knows the names of all columns once it has been read.

    The names of a table of interactions are those of its first chunk.
    """
    given = {name: table for name in ("users", "items") if (table := getattr(source, name)) is not None}
    columns = {**source.columns}
    for name, table in given.items():
        columns.setdefault(name, tuple(table.column_names))

    def interactions() -> Iterator[pa.Table]:
        for chunk in source.interactions():
            columns.setdefault("interactions", tuple(chunk.column_names))
            yield _select(chunk, used["interactions"])

    tables = {name: _select(table, used[name]) for name, table in given.items()}
    return replace(source, interactions=interactions, columns=columns, **tables)


def _select(table: pa.Table, names: Collection[str]) -> pa.Table:
    return table.select([name for name in table.column_names if name in names])


def check_named(config: DataConfig, schema: SchemaConfig, columns: Mapping[str, Sequence[str]]) -> None:
    """Check that the tables have the columns that the config names.

    Args:
        columns: the names of all columns of each table, those included that were not read. A table that is not there
            is not checked.

    Raises:
        ConfigError: naming the key and the nearest name.
        DataError: if an id is missing.
    """
    for name, required in (("interactions", IDS), ("users", ("user_id",)), ("items", ("item_id",))):
        if name in columns:
            check_required(columns[name], name, required)
    every = {column for names in columns.values() for column in names} | set(IDS)
    tables = "; ".join(f"{name}: {', '.join(names)}" for name, names in columns.items())
    for key in ("sparse", "dense", "text", "vectors"):
        for column in getattr(schema, key):
            if column not in every:
                raise ConfigError(f"schema.{key}: {column!r} is in no table{nearest(column, every)} ({tables})")
    for column in config.keep:
        if column not in every:
            where = "data.keep, or evaluation.slices"
            raise ConfigError(f"{where}: {column!r} is in no table{nearest(column, every)} ({tables})")
    events, items = columns["interactions"], columns.get("items", ("item_id",))
    check_required(events, "interactions", config.labels)
    if (column := config.split.given) is not None and column not in events:
        raise ConfigError(
            f"data.split.column: interactions has no column {column!r}{nearest(column, events)}; with "
            f"data.split.by: column it holds train, valid or test ({tables})"
        )
    for key, expression in (("data.positive", config.positive), ("data.label", config.label)):
        if expression is not None:
            check_expression(expression, key, [*events, *(["label"] if config.label else [])])
    if config.title is not None and config.title not in items:
        raise ConfigError(f"data.title: items has no column {config.title!r}{nearest(config.title, items)}")
