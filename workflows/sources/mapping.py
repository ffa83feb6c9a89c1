"""``data.columns``: which column of a table gets which of cascade's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...core.errors import ConfigError
from ..tables.canonical import IDS
from ..tables.validate import nearest

Columns = Mapping[str, str | dict[str, str]]
"""cascade's name -> theirs; or a table -> such a mapping for this table alone."""
OURS = (*IDS, "timestamp", "label", "order")
"""Names that cascade gives a meaning."""


def check_columns(columns: Columns, tables: Mapping[str, Sequence[str]]) -> None:
    """Check that each column that ``data.columns`` names is in its table, or in any table if it is given for all.

    Args:
        tables: table -> the names of its columns.

    Raises:
        ConfigError: naming the key and the nearest name.
    """
    every = [name for names in tables.values() for name in names]
    for key, theirs in columns.items():
        if isinstance(theirs, str):
            if theirs not in every:
                shared = {ours: name for ours, name in columns.items() if isinstance(name, str)}
                hint = _other_way_round(key, shared, every) or nearest(theirs, every)
                raise ConfigError(f"data.columns.{key}: no table has a column {theirs!r}{hint}")
            continue
        if key not in tables:
            raise ConfigError(f"data.columns.{key}: there is no table {key}; found: {', '.join(tables)}")
        for ours, name in theirs.items():
            if name not in tables[key]:
                hint = _other_way_round(ours, theirs, tables[key], key) or nearest(name, tables[key])
                raise ConfigError(f"data.columns.{key}.{ours}: {key} has no column {name!r}{hint}")


def new_names(columns: Columns, table: str, names: Sequence[str]) -> dict[str, str]:
    """The columns of a table by cascade's name: ours -> theirs.

    A mapping for this table goes before one for all tables, and before a column that has the name already, which is
    then left out.

    Raises:
        ConfigError: if a mapping for all tables gives a name to two columns, or two names to a column, of this table.
    """
    nested = columns.get(table, {})
    own = nested if isinstance(nested, dict) else {}
    shared = {ours: theirs for ours, theirs in columns.items() if isinstance(theirs, str) and theirs in names}
    shared = {k: v for k, v in shared.items() if k not in own and v not in own.values()}
    moved = {theirs for ours, theirs in {**shared, **own}.items() if ours != theirs}
    for ours, theirs in shared.items():
        if ours in names and ours not in moved and ours != theirs:
            raise ConfigError(
                f"data.columns.{ours}: {table} has both {theirs!r} and {ours!r}; say which one it is for this table: "
                f"data.columns: {{{table}: {{{ours}: {theirs}}}}} or {{{table}: {{{ours}: {ours}}}}}"
            )
    _check_once(table, {**shared, **own})
    kept = {name: name for name in names if name not in moved}
    return {**kept, **shared, **own}


def left_out(ours: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Those of a table's columns that have no name of ours: another column has taken it.

    Args:
        ours: what `new_names` gives for ``names``.
    """
    return [name for name in names if name not in ours.values()]


def _other_way_round(key: str, columns: Mapping[str, str], names: Sequence[str], table: str | None = None) -> str:
    """What to say if ``key`` is one of the columns that there are, and no name of cascade's, but leads to none."""
    turned = {name: own for own, name in columns.items() if own in names and own not in OURS and name not in names}
    if key not in turned.values():
        return ""
    line = ", ".join(f"{ours}: {theirs}" for ours, theirs in turned.items())
    shown = f"{table}: {{{line}}}" if table else line
    return f"; is it the other way round? data.columns: {{{shown}}}"


def _check_once(table: str, wanted: Mapping[str, str]) -> None:
    for ours, theirs in wanted.items():
        twins = [name for name, other in wanted.items() if other == theirs]
        if len(twins) > 1:
            raise ConfigError(
                f"data.columns: {table}.{theirs} would be {' and '.join(twins)}; say which one it is for this table: "
                f"data.columns: {{{table}: {{{ours}: {theirs}}}}}"
            )
