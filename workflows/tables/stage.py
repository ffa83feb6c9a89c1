"""Stage ``data``: a source's tables, validated, split, in the data convention, as Parquet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ...core.artifact import Artifact
from ...core.errors import ConfigError, DataError
from ...core.stage import Sections, Stage
from ..config import DataConfig, SchemaConfig, SplitConfig
from ..etl.features import check_known_before, sides_of
from ..leaks.check import check_leaks
from ..sources import Source, open_source
from .canonical import canonical, kind_of
from .expressions import names_in
from .intake import ENTITIES, Intake
from .split import (
    NAMES,
    by_column,
    by_time,
    drawn_items,
    last_item,
    new_items,
    time_cuts,
    validating_users,
)
from .spool import (
    GROUP_ROWS,
    Spool,
    batches,
    parts_by_user,
    rows_of,
)
from .validate import check_entity_table, check_finite, nearest
from .vectors import vector_columns

if TYPE_CHECKING:
    import pyarrow as pa

    Splitter = Callable[[pa.Table, NDArray[np.int32]], NDArray[np.int8]]


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> dict[str, Any]:
    """Write interactions/part-*.parquet, users.parquet, items.parquet, tables.json."""
    config, schema = cast(DataConfig, sections["data"]), cast(SchemaConfig, sections["schema"])
    check_known_before(schema, names_in(config.positive) if config.positive else (), "data.positive")
    check_known_before(schema, names_in(config.label, "data.label") if config.label else (), "data.label")
    check_known_before(schema, [config.split.column] if config.split.column else (), "data.split.column")
    check_known_before(schema, config.labels, "data.labels")
    source = open_source(config)
    spool = Spool(folder / "spool" / "interactions.parquet")
    entities, has_timestamp = read(source, spool, config, schema.vectors)
    kinds = {name: {c: str(kind_of(t[c].type)) for c in t.column_names} for name, t in entities.items()}
    first = next(batches(spool.file))
    kinds["interactions"] = {c: str(kind_of(first[c].type)) for c in first.column_names if c not in ("split",)}
    features = sides_of(schema, kinds)
    title = _title(config, kinds["items"])
    for name, table in entities.items():
        _write(table, folder / f"{name}.parquet")
    users, items = (entities[name][key].combine_chunks() for key, name in ENTITIES.items())
    rows = _write_interactions(folder / "interactions", spool, users, items, config)
    if not has_timestamp:
        rows.pop("time_span")
    shutil.rmtree(folder / "spool")
    sizes = {"n_users": len(entities["users"]), "n_items": len(entities["items"]), "n_interactions": spool.rows}
    has_label = "label" in kinds["interactions"] or bool(config.labels)
    has = {"has_label": has_label, "labels": config.labels, "has_timestamp": has_timestamp}
    (folder / "tables.json").write_text(json.dumps({"columns": kinds, "title": title, **has, **sizes}, indent=1))
    return {**sizes, **rows, **source.metrics, **check_leaks(folder, features, config, has_timestamp)}


DATA = Stage("data", "Read, check and split interactions, users and items.", ["data", "schema"], [], fill, version=2)


def read(
    source: Source, spool: Spool, config: DataConfig, vectors: Sequence[str] = ()
) -> tuple[dict[str, pa.Table], bool]:
    """Write the source's interactions to the spool.

    Args:
        vectors: columns of items that hold equally long lists of numbers.

    Returns:
        ``users`` and ``items``, checked and sorted by id (made from the interactions where the source has none), and
        whether interactions have timestamps.
    """
    import pyarrow as pa
    from tqdm import tqdm

    given = {name: getattr(source, name) for name in ENTITIES.values()}
    entities = {name: _checked(table, name, vectors) for name, table in given.items() if table is not None}
    known = {name: entities[name][key].combine_chunks() for key, name in ENTITIES.items() if name in entities}
    intake = Intake(config, spool, known)
    with tqdm(total=source.rows, unit="row", unit_scale=True, desc="interactions", leave=False) as bar:
        for chunk in source.interactions():
            intake.add(chunk)
            bar.update(chunk.num_rows)
    found = intake.finish()
    tables = {name: entities.get(name) or pa.table({key: found[key]}) for key, name in ENTITIES.items()}
    return {name: tables[name].sort_by(key) for key, name in ENTITIES.items()}, intake.has_timestamp


def _checked(table: pa.Table, name: str, vectors: Sequence[str]) -> pa.Table:
    """Users or items in canonical types."""
    key = next(key for key, value in ENTITIES.items() if value == name)
    check_entity_table(table, name, key)
    pretrained = vector_columns(table, vectors) if name == "items" else {}
    table = canonical(table.drop_columns([*pretrained]), name)
    for column, lists in pretrained.items():
        table = table.append_column(column, lists)
    for column in table.column_names:
        check_finite(table, name, column)
    return table


def _title(config: DataConfig, kinds: dict[str, str]) -> str | None:
    """The items column to show to people, if there is one."""
    if config.title is not None and config.title not in kinds:
        raise ConfigError(f"data.title: items has no column {config.title!r}{nearest(config.title, kinds)}")
    return config.title or ("title" if kinds.get("title") == "string" else None)


def _write(table: pa.Table, file: Path) -> None:
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=GROUP_ROWS)


def _write_interactions(
    folder: Path, spool: Spool, user_ids: pa.Array, item_ids: pa.Array, config: DataConfig
) -> dict[str, Any]:
    """Sort by user and time, split, write; returns the rows of each split, and its first and last timestamp."""
    import pyarrow as pa

    split_rows = _splitter(spool, config.split, len(user_ids), item_ids)
    total, spans = np.zeros(len(NAMES), np.int64), dict[str, list[int]]()
    for number, part in enumerate(parts_by_user(spool.file, user_ids)):
        user_row = rows_of(part["user_id"], user_ids)
        order = np.lexsort((part["timestamp"].to_numpy(), user_row))
        part, user_row = part.take(order), user_row[order]
        codes = split_rows(part, user_row)
        if config.split.by != "column":
            part = part.append_column("split", pa.array(np.asarray(NAMES)[codes]))
        total += np.bincount(codes, minlength=len(NAMES))
        _widen(spans, part["timestamp"].to_numpy(), codes)
        _write(part, folder / f"part-{number:05d}.parquet")
    if total[0] == 0:
        raise DataError(f"interactions: the split ({config.split.by}) leaves no row for training")
    return {**{f"n_{name}": int(count) for name, count in zip(NAMES, total, strict=True)}, "time_span": spans}


def _widen(spans: dict[str, list[int]], stamps: NDArray[np.int64], codes: NDArray[np.int8]) -> None:
    """Take timestamps [n] into the first and last of each split; codes [n] say whose they are."""
    for code, name in enumerate(NAMES):
        own = stamps[codes == code]
        if len(own):
            first, last = spans.get(name, (own[0], own[0]))
            spans[name] = [int(min(first, own.min())), int(max(last, own.max()))]


def _splitter(spool: Spool, config: SplitConfig, n_users: int, item_ids: pa.Array) -> Splitter:
    """The function that gives a part's split codes [n] from its rows, sorted by user and time, and user_row [n]."""
    if config.by == "last_item":
        validates = validating_users(n_users, config.valid_share)
        return lambda part, user_row: last_item(user_row, part["positive"].to_numpy(), validates)
    if config.by == "new_items":
        validates = validating_users(n_users, config.valid_share)
        held_out = drawn_items(len(item_ids), config.item_share)
        return lambda part, user_row: new_items(
            user_row, held_out[rows_of(part["item_id"], item_ids)], part["positive"].to_numpy(), validates
        )
    if config.by == "time":
        stamps = np.concatenate([b["timestamp"].to_numpy() for b in batches(spool.file, ["timestamp"])])
        cuts = time_cuts(stamps, config.valid_share, config.test_share)
        return lambda part, user_row: by_time(part["timestamp"].to_numpy(), *cuts)
    return lambda part, user_row: by_column(part, "split")
