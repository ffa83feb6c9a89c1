"""Stage ``etl``: fit NVTabular workflows on the training part and transform all rows with them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from ...core.artifact import Artifact
from ...core.errors import ConfigError
from ...core.features import (
    GAP,
    HISTORY,
    Feature,
    FeatureSchema,
)
from ...core.files import read_json
from ...core.inputs import Inputs, file_inputs
from ...core.memory import MemoryNeed
from ...core.stage import Sections, Stage
from ..config import EtlConfig, HistoryConfig, SchemaConfig
from ..history.gaps import CODES
from ..tables.raw_features import raw_features
from .compile import compile_transforms
from .dask_cluster import memory_bytes, pick_device, scheduler
from .fit import FittedSide, fit_sides
from .interaction_files import INTERACTIONS, RowOffsets, create
from .train_part import TrainPart
from .write_tensors import (
    InteractionWriter,
    row_bytes,
    save_ids,
    write_entities,
)

log = logging.getLogger(__name__)

ID_BYTES, PARTITION_BYTES = 300, 2000
"""Bytes of an id while its vocabulary is fitted and compiled, and of an interaction while it is transformed."""


def fill(folder: Path, sections: Sections, parents: Mapping[str, Artifact]) -> dict[str, Any]:
    """Write schema.json, workflow/, users/, items/, interactions/, positives/, transforms/, ids and item counts.

    Returns:
        The metrics: device, rows held at once, and the cardinality of each categorical feature.
    """
    schema, config = cast(SchemaConfig, sections["schema"]), cast(EtlConfig, sections["etl"])
    history = cast(HistoryConfig, sections["history"])
    data = parents["data"].path
    tables = read_json(data / "tables.json")
    raw, labels = raw_features(schema, tables["columns"]), tuple(tables.get("labels", ()))
    device, limit = pick_device(config), memory_bytes(config)
    rows = max(limit // config.workers // row_bytes(len(raw)), 1)
    save_ids(folder, data)
    with scheduler(config):
        train = TrainPart.survey(data)
        np.save(folder / "item_counts.npy", train.item_positives)
        fitted = fit_sides(raw, train, folder / "workflow", device, config)
        write_entities(folder / "users", fitted["user"], data / "users.parquet", len(train.user_events))
        write_entities(folder / "items", fitted["item"], data / "items.parquet", len(train.item_events))
        unit = tables["time_unit"] if history.gaps else None
        write_interactions(data, folder, fitted.get("context"), rows, labels, unit)
    compile_transforms(folder, fitted, data, history, tables["has_timestamp"])
    features = with_history([f for side in fitted.values() for f in side.features], history, tables["has_timestamp"])
    features.save(folder / "schema.json")
    notices = [notice for side in fitted.values() for notice in side.notices]
    for notice in notices:
        log.warning("%s", notice)
    return {
        "device": device,
        "rows_at_once": rows,
        **{f"{f.name}_size": f.cardinality for f in features if f.cardinality},
        **({"notices": notices} if notices else {}),
    }


def with_history(features: list[Feature], config: HistoryConfig, has_times: bool = True) -> FeatureSchema:
    """The schema: user features, then history and its gaps, then context and item features.

    The history has the codes of ``item_id``.

    Args:
        has_times: whether the interactions have timestamps; without them the history is a set.

    Raises:
        ConfigError: gaps are wanted, and there are no times.
    """
    if config.gaps and not has_times:
        raise ConfigError("history.gaps: the interactions have no timestamps, so there are no gaps; set it to false")
    size = next(f.cardinality for f in features if f.name == "item_id")
    length = config.items(has_times)
    history = [Feature(HISTORY, "user", "categorical", size, length, "item_id", ("history_ids",), has_times)]
    if config.gaps:
        history.append(Feature(GAP, "user", "categorical", CODES, length, raw=("history_times",)))
    sides = {side: [f for f in features if f.side == side] for side in ("user", "context", "item")}
    return FeatureSchema((*sides["user"], *history, *sides["context"], *sides["item"]))


def write_interactions(
    data: Path, folder: Path, context: FittedSide | None, rows: int, labels: tuple[str, ...], time_unit: int | None
) -> None:
    """Write interactions/ and positives/, one Dask task for each file of the data artifact.

    Args:
        rows: interactions that a task holds at once.
        time_unit: microseconds in one step of the timestamps, if the times of positives are written.
    """
    import dask

    offsets = RowOffsets.count(data)
    writer = InteractionWriter(data, folder, context, rows, offsets.first, labels, time_unit)
    create(folder, offsets, writer.columns, writer.positives)
    dask.compute([dask.delayed(writer.write)(data / INTERACTIONS / part) for part in offsets.first])


def memory(sections: Sections, parents: Mapping[str, Artifact]) -> MemoryNeed:
    """What is not taken in partitions: vocabularies and lookup tables of ids, and one row group of users and items."""
    counts, config = parents["data"].metrics, cast(EtlConfig, sections["etl"])
    ids = counts["n_users"] + counts["n_items"]
    parts = {f"{ids:,} ids and their vocabularies": ID_BYTES * ids}
    if config.memory_limit is None:
        parts["partitions"] = min(memory_bytes(config), PARTITION_BYTES * counts["n_interactions"])
    return MemoryNeed(parts, "set etl.memory_limit, or etl.max_size or etl.hash_buckets of user_id and item_id")


def inputs(sections: Sections) -> Inputs:
    """The files of the text encoder, if there is one."""
    encoder = cast(EtlConfig, sections["etl"]).text.encoder
    return file_inputs([Path(encoder)], Path(encoder).parent) if encoder and Path(encoder).is_dir() else {}


ETL = Stage(
    name="etl",
    help="Fit the NVTabular workflows and turn tables into tensors.",
    sections=("schema", "etl", "history"),
    parents=("data",),
    fill=fill,
    version=4,
    inputs=inputs,
    memory=memory,
)
