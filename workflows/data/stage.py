"""Stage ``data``: a source's tables, checked, split and written as Parquet in canonical types."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ...core.artifact import Artifact
from ...core.errors import ConfigError
from ...core.inputs import Inputs
from ...core.stage import Sections, Stage
from ..config import DataConfig, SchemaConfig
from ..leaks.check import check_leaks
from ..sources import open_source, source_columns, source_inputs
from ..tables.canonical import kind_of
from ..tables.names import check_names
from ..tables.raw_features import check_known_before, raw_features
from ..tables.validate import nearest
from .drawn_order import SCALE, has_times, notice
from .expressions import names_in
from .ingest import ingest
from .memory import memory
from .repeats import count_repeats
from .spool import Spool
from .ties import Ties, count_ties
from .unknown import ENTITIES
from .used import check_named, only_used, used_columns
from .values import check_values
from .write import without_validation, write_interactions, write_table

log = logging.getLogger(__name__)


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> dict[str, Any]:
    """Write interactions/part-*.parquet, users.parquet, items.parquet and tables.json; returns the metrics."""
    config, schema = cast(DataConfig, sections["data"]), cast(SchemaConfig, sections["schema"])
    check_source(sections)
    used = used_columns(config, schema)
    source = only_used(open_source(config, used, schema.sparse), used)
    if "interactions" in source.columns:
        check_named(config, schema, source.columns)
    spool = Spool(folder / "spool" / "interactions.parquet")
    entities, ingested = ingest(source, spool, config, schema.vectors, schema.dense)
    check_named(config, schema, source.columns)
    kinds = {name: {c: str(kind_of(t[c].type)) for c in t.column_names} for name, t in entities.items()}
    added = ("split", *(["order"] if config.has_order else []))
    kinds["interactions"] = {c.name: str(kind_of(c.type)) for c in spool.schema if c.name not in added}
    kinds["interactions"]["timestamp"] = "int"
    check_values(schema, kinds, source.columns, entities, spool, ingested.spooled, config.csv.decimal)
    features = raw_features(schema, kinds)
    title = _title(config, kinds["items"])
    for name, table in entities.items():
        write_table(table, folder / f"{name}.parquet")
    users, items = (entities[name][key].combine_chunks() for key, name in ENTITIES.items())
    timed = ingested.has_timestamp and (config.has_order or has_times(spool))
    ties = count_ties(spool, users, items) if timed and not config.has_order else Ties()
    ordered = timed and not ties.is_set
    scale = ingested.times.scale if ordered else None
    rows = write_interactions(
        folder / "interactions", spool, users, items, config, scale, as_written=ordered and ties.as_written
    )
    has_label = "label" in kinds["interactions"]
    notices = [*_without_label(config, has_label), *rows.pop("notices"), *without_validation(rows["n_valid"])]
    repeats = count_repeats(folder)
    notices += repeats.notices()
    notices += ingested.times.range.notices() if ingested.has_timestamp else []
    if not ordered:
        rows.pop("time_span")
        notices.append(ties.set_notice(config.split) if timed else notice(config.split))
    else:
        rows["time_unit"] = ingested.times.scale.unit
        notices += ties.notices()
    if notices:
        rows["notices"] = notices
    for line in notices:
        log.warning("%s", line)
    shutil.rmtree(folder / "spool")
    sizes = {"n_users": len(entities["users"]), "n_items": len(entities["items"]), "n_interactions": spool.rows}
    has = {"has_label": has_label or bool(config.labels), "labels": config.labels, "has_timestamp": ordered}
    has |= {"time_unit": (scale or SCALE).unit, **repeats.facts()}
    (folder / "tables.json").write_text(json.dumps({"columns": kinds, "title": title, **has, **sizes}, indent=1))
    return {
        **sizes,
        "n_positives": ingested.positives,
        **rows,
        **repeats.facts(),
        **source.metrics,
        **check_leaks(folder, features, config, ordered),
    }


def check_source(sections: Sections) -> None:
    """Raise what the names of tables and columns tell; no row is read.

    Raises:
        ConfigError: a key names what is not there, or what cannot be a feature.
        DataError: a table or its id is missing, or a file cannot be opened.
    """
    config, schema = cast(DataConfig, sections["data"]), cast(SchemaConfig, sections["schema"])
    check_known_before(schema, names_in(config.positive) if config.positive else (), "data.positive")
    check_known_before(schema, names_in(config.label, "data.label") if config.label else (), "data.label")
    check_known_before(schema, [config.split.given] if config.split.given else (), "data.split.column")
    check_known_before(schema, config.labels, "data.labels")
    check_names(schema, config.labels)
    if columns := source_columns(config):
        check_named(config, schema, columns)


def inputs(sections: Sections) -> Inputs:
    """What the source reads, so that new tables are noticed."""
    return source_inputs(cast(DataConfig, sections["data"]))


DATA = Stage(
    name="data",
    help="Read, check and split interactions, users and items.",
    sections=("data", "schema"),
    parents=(),
    fill=fill,
    version=12,
    inputs=inputs,
    check_inputs=check_source,
    memory=memory,
)


def _without_label(config: DataConfig, has_label: bool) -> list[str]:
    """The notice that nothing says which impressions of a log with ``data.labels`` are positives."""
    if has_label or config.positive is not None or not config.labels:
        return []
    first = config.labels[0]
    return [
        f"data.labels names {', '.join(config.labels)}, but neither data.label nor data.positive is set, so every row "
        f"counts as a positive; set data.label: {first}, if that is a success, or to another expression"
    ]


def _title(config: DataConfig, kinds: dict[str, str]) -> str | None:
    """The items column that shows people what an item is; None if there is none."""
    if config.title is not None and config.title not in kinds:
        raise ConfigError(f"data.title: items has no column {config.title!r}{nearest(config.title, kinds)}")
    return config.title or ("title" if kinds.get("title") == "string" else None)
