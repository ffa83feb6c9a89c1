"""Arrow tables to data frames and back: pandas or cuDF, with the same types in every partition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..tables.raw_features import RawFeature

if TYPE_CHECKING:
    import pyarrow as pa


def to_frame(table: pa.Table, features: Sequence[RawFeature], device: str) -> Any:
    """The raw columns of ``features`` as a frame on ``device`` (cpu or gpu).

    Integers stay integers where some are missing (pandas ``Int64``), so that a partition's types do not depend on its
    missing values. Continuous columns are float64.
    """
    import pyarrow as pa

    dense = {name for f in features if f.role == "continuous" for name in f.raw}
    names = list(dict.fromkeys(name for f in features for name in f.raw))
    columns = {n: table[n].cast(pa.float64(), safe=False) if n in dense else table[n] for n in names}
    selected = pa.table(columns)
    if device == "gpu":
        from merlin.core.dispatch import get_lib

        return get_lib().DataFrame.from_arrow(selected)
    import pandas as pd

    return selected.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def to_array(column: Any) -> NDArray[Any]:
    """A transformed column [n, length or 1] on the host."""
    from merlin.core import dispatch

    n = len(column)
    if dispatch.is_list_dtype(column):
        column = dispatch.pull_apart_list(column)[0]
    host = column if dispatch.is_cpu_object(column) else column.to_pandas()
    return np.asarray(host.to_numpy()).reshape(n, -1)
