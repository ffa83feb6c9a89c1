"""The NVTabular operator for hashed columns and crosses.

NVTabular's `HashBucket` and `HashedCross` use the hash of pandas or cuDF: the two differ, and serving has neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.merlin_env import prepare_merlin

prepare_merlin()

import numpy as np  # noqa: E402
from merlin.core import dispatch  # noqa: E402
from merlin.schema import ColumnSchema, Tags  # noqa: E402
from nvtabular.ops.operator import ColumnSelector, Operator  # noqa: E402

from ..transforms.codes import FIRST_CODE, raw_array  # noqa: E402
from ..transforms.hashing import HashedCodes  # noqa: E402


class Hash(Operator):
    """Hashed codes, int32, of a column (or of a list column's values), or of a combination of columns.

    The hash is computed on the host.

    Args:
        name: of the output.
        raw: the columns.
        buckets: the number of codes for values.
    """

    def __init__(self, name: str, raw: Sequence[str], buckets: int) -> None:
        super().__init__()
        self.name, self.raw, self.buckets = name, list(raw), buckets

    def transform(self, col_selector: ColumnSelector, df: Any) -> Any:
        """A frame with the column ``name``."""
        codes = HashedCodes(self.buckets)
        first = df[self.raw[0]]
        if not dispatch.is_list_dtype(first):
            values = codes([host_values(df[name]) for name in self.raw]).astype(np.int32)
            return dispatch.make_df({self.name: _series(values, first)})
        flat, offsets = dispatch.pull_apart_list(first)
        values = _series(codes([host_values(flat)]).astype(np.int32), first)
        return dispatch.make_df({self.name: dispatch.create_multihot_col(offsets, values)})

    def column_mapping(self, col_selector: ColumnSelector) -> dict[str, list[str]]:
        return {self.name: self.raw}

    @property
    def output_dtype(self) -> Any:
        return np.int32

    @property
    def output_tags(self) -> list[Any]:
        return [Tags.CATEGORICAL]

    def _compute_properties(self, col_schema: ColumnSchema, input_schema: Any) -> ColumnSchema:
        domain = {"min": 0, "max": FIRST_CODE + self.buckets - 1, "name": self.name}
        return super()._compute_properties(col_schema, input_schema).with_properties({"domain": domain})


def host_values(column: Any) -> Any:
    """A column as a request holds it, see ``raw_array``."""
    import pyarrow as pa

    host = column if dispatch.is_cpu_object(column) else column.to_pandas(nullable=True)
    return raw_array(pa.chunked_array([pa.array(host, from_pandas=True)]))


def _series(values: Any, like: Any) -> Any:
    return dispatch.make_series(values, device="cpu" if dispatch.is_cpu_object(like) else None)
