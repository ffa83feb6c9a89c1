"""Features of items by the lookup tables of a release, as the ETL of its training computed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ...ensemble.graph.ops.compiled_features import load_feature
from ...ensemble.repository.refresh_files import ItemSpec
from ...workflows.etl.content import encoded_texts, hashed_texts, unit_vectors
from ...workflows.tables.validate import LARGEST_DENSE
from ...workflows.transforms.codes import MISSING, raw_array

if TYPE_CHECKING:
    import pyarrow as pa


def item_features(table: pa.Table, spec: ItemSpec, tables: Path) -> dict[str, NDArray[Any]]:
    """Feature -> int32 or float32 [n, length or 1] of the items in ``table``.

    Values that the training did not have are out of vocabulary, so a new item has the code of an unknown id.

    Args:
        table: the columns of ``spec.kinds``, in their types.
        tables: folder with the lookup tables of the release.

    Raises:
        DataError: a number is too far from those of the training.
    """
    return {feature["name"]: _compute(feature, table, spec, tables) for feature in spec.features}


def _compute(feature: Mapping[str, Any], table: pa.Table, spec: ItemSpec, tables: Path) -> NDArray[Any]:
    if feature["kind"] in ("text", "vector"):
        values = _content(feature, spec)(np.array(table[feature["raw"][0]].to_pylist() + [None], object)[:-1])
        return values.astype(np.int32 if values.dtype.kind == "i" else np.float32)
    found = load_feature(dict(feature), tables)([_padded(table[name], spec.kinds[name]) for name in feature["raw"]])
    if feature["kind"] != "continuous":
        return found.astype(np.int32)
    if not (near := np.abs(found[:, 0]) <= LARGEST_DENSE).all():
        row = int(np.argmin(near))
        raise DataError(
            f"items.{feature['name']} (item_id {table['item_id'][row].as_py()!r}): "
            f"{table[feature['raw'][0]][row].as_py()} is over {LARGEST_DENSE:g} standard deviations from the values of "
            "the training part; correct it, or leave it empty"
        )
    return found


def _content(feature: Mapping[str, Any], spec: ItemSpec) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """The function of a text or vector feature, from objects [n] to values [n, length]."""
    length, text = feature["length"], spec.text
    if feature["kind"] == "vector":
        return lambda values: unit_vectors(values, length)
    if (encoder := text["encoder"]) is not None:
        return lambda values: encoded_texts(values, encoder, length)
    return lambda values: hashed_texts(values, text["buckets"], length, text["ngrams"])


def _padded(column: pa.ChunkedArray, kind: str) -> NDArray[Any]:
    """A column as a request holds it: [n, 1], or lists [n, L] filled up with the missing value."""
    import pyarrow.compute as pc

    if not kind.startswith("list_"):
        return raw_array(column)[:, None]
    sizes = np.asarray(pc.list_value_length(column).fill_null(0)).astype(np.int64)
    values = raw_array(pc.list_flatten(column))
    padded = np.full((len(sizes), max(1, int(sizes.max(initial=1)))), MISSING[kind.removeprefix("list_")], values.dtype)
    padded[np.arange(padded.shape[1]) < sizes[:, None]] = values
    return padded
