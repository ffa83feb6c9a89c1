"""Compile the fitted workflows to JSON and npy files (no pickle) for ``cascade.ensemble.graph.ops.transform``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.features import Feature, Side, ascii_name
from ..config import HistoryConfig
from ..tables.ids import id_columns
from ..tables.raw_features import RawFeature
from ..transforms.codes import DTYPES, FIRST_CODE, Codes, raw_array
from ..transforms.lookup_tables import codes_for
from .fit import FittedSide, statistics

if TYPE_CHECKING:
    import pyarrow as pa

PARAMS, ITEM_PARAMS = "request.params", "items.params"
"""JSON. The tables of a feature lie beside them as .json and .npy, under the feature's name."""
REQUEST_SIDES: tuple[Side, ...] = ("user", "context")


def compile_transforms(
    folder: Path, fitted: Mapping[Side, FittedSide], data: Path, history: HistoryConfig, has_times: bool = True
) -> None:
    """Write the parameters and lookup tables of all sides into ``folder/transforms``.

    Args:
        folder: the etl artifact that is being written; items/item_id.npy must exist.
        data: folder of the data artifact.
        has_times: whether the interactions have timestamps.
    """
    out = folder / "transforms"
    out.mkdir()
    compiled = {side: [compile_feature(out, f, r, part) for f, r in pairs(part)] for side, part in fitted.items()}
    _item_rows(out, id_columns(data)[1])
    np.save(out / "item_codes.npy", np.load(folder / "items" / "item_id.npy")[:, 0])
    item_id = next(r for r in fitted["item"].raw if r.name == "item_id")
    request = {
        "features": [feature for side in REQUEST_SIDES for feature in compiled.get(side, [])],
        "raw": raw_columns([r for side in REQUEST_SIDES if side in fitted for r in fitted[side].raw]),
        "history": history.items(has_times),
        "gaps": history.gaps,
        "item_dtype": DTYPES[item_id.kinds[0]],
    }
    (out / PARAMS).write_text(json.dumps(request, indent=1))
    (out / ITEM_PARAMS).write_text(json.dumps(compiled["item"], indent=1))


def pairs(part: FittedSide) -> list[tuple[Feature, RawFeature]]:
    """Each feature of a side, fitted and raw."""
    return list(zip(part.features, part.raw, strict=True))


def raw_columns(features: Sequence[RawFeature]) -> dict[str, list[Any]]:
    """Raw column -> [dtype, dims] of it in a request."""
    found = {}
    for feature in features:
        for name, kind in zip(feature.raw, feature.kinds, strict=True):
            found[name] = [DTYPES[kind.removeprefix("list_")], ["L"] if kind.startswith("list_") else [1]]
    return found


def compile_feature(out: Path, feature: Feature, raw: RawFeature, part: FittedSide) -> dict[str, Any]:
    """Write the lookup tables of a feature into ``out``; returns its entry in the parameters."""
    entry: dict[str, Any] = {"name": feature.name, "kind": raw.role, "raw": list(raw.raw), "length": feature.length}
    if raw.role == "continuous":
        return {**entry, **statistics(part.workflow, feature.name)}
    if raw.role in ("text", "vector"):
        return entry  # an item feature, which no request contains
    if raw.buckets:
        return {**entry, "buckets": raw.buckets}
    import pyarrow.parquet as pq

    table = pq.read_table(part.folder / "categories" / f"unique.{feature.name}.parquet", columns=list(raw.raw))
    if raw.role == "cross":
        return {**entry, "sizes": _cross(out, ascii_name(feature.name), table)}
    _codes(table[feature.name]).save(out, ascii_name(feature.name))
    return entry


def _values(array: pa.Array) -> Any:
    """The values without null: a list of str, or an int64 or float64 array."""
    import pyarrow as pa

    array = array.drop_null()
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return np.asarray(array)
    return array.to_pylist()  # strings, or an empty column, which pandas writes without a type


def _codes(column: pa.ChunkedArray) -> Codes:
    """The lookup table of a vocabulary, which is in the order of its codes."""
    values = _values(column.combine_chunks())
    return codes_for(values, np.arange(FIRST_CODE, FIRST_CODE + len(values)))


def _cross(out: Path, name: str, table: pa.Table) -> list[int]:
    """Write the lookup tables of a combination of columns, as files that begin with ``name``.

    Returns:
        The mixed radix of combinations: for each column, the number of its values and 1 more for missing.
    """
    combined, sizes = np.zeros(len(table), np.int64), []
    for column in table.column_names:
        known = _values(table[column].unique())
        codes = codes_for(known, np.arange(1, len(known) + 1))
        codes.save(out, f"{name}.{ascii_name(column)}")
        sizes.append(len(known) + 1)
        combined = combined * sizes[-1] + codes(raw_array(table[column]), 0, -1)
    codes_for(combined, np.arange(FIRST_CODE, FIRST_CODE + len(table))).save(out, name)
    return sizes


def _item_rows(out: Path, item_ids: pa.Array) -> None:
    """Write the lookup table from raw item ids to item rows."""
    codes_for(_values(item_ids), np.arange(len(item_ids))).save(out, "item_rows")
