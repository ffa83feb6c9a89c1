"""Raw ids and rows: a row is the position of a user or an item in its table of the data artifact."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


@lru_cache(maxsize=4)
def id_columns(data: Path) -> tuple[pa.Array, pa.Array]:
    """user_id and item_id of the data artifact in row order; cached, because each task of a process needs them."""
    import pyarrow.parquet as pq

    users = pq.read_table(data / "users.parquet", columns=["user_id"])["user_id"]
    items = pq.read_table(data / "items.parquet", columns=["item_id"])["item_id"]
    return users.combine_chunks(), items.combine_chunks()


def rows_of(ids: pa.ChunkedArray | NDArray[Any], known: pa.Array | NDArray[Any]) -> NDArray[np.int32]:
    """The row in ``known`` of each of ``ids``.

    Args:
        ids: an Arrow column [n], or an array of any shape.
        known: [N] ids, all different, of the same type.

    Returns:
        int32, in the shape of ``ids``.

    Raises:
        ValueError: naming the first id that is not in ``known``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    shape = ids.shape if isinstance(ids, np.ndarray) else (len(ids),)
    values = pa.array(known) if isinstance(known, np.ndarray) else known
    column = pa.array(ids.reshape(-1), values.type) if isinstance(ids, np.ndarray) else ids
    rows = pc.index_in(column, value_set=values)
    if rows.null_count:
        unknown = column.filter(rows.is_null())[0].as_py()
        raise ValueError(f"ids: {unknown!r} is not one of the {len(known):,} known ids")
    return np.asarray(rows.to_numpy(), np.int32).reshape(shape)
