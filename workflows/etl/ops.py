"""NVTabular operators for categories and lists, on pandas and cuDF alike through merlin's ``dispatch``."""

from __future__ import annotations

from typing import Any

from ...core.merlin_env import prepare_merlin

prepare_merlin()

import numpy as np  # noqa: E402
from merlin.core import dispatch  # noqa: E402
from merlin.schema import ColumnSchema  # noqa: E402
from nvtabular.ops import Categorify  # noqa: E402
from nvtabular.ops.operator import ColumnSelector, Operator  # noqa: E402

from ..transforms.codes import FIRST_CODE  # noqa: E402


class Encode(Categorify):
    """Categorify that accepts a partition in which a column has only missing values.

    NVTabular 23.8 reads the first value of a column to see whether it holds lists, and fails if there is none. Also, of
    a combination this operator returns only the code, not its columns.

    Args:
        most: the size of the vocabulary, which holds the most frequent categories; 0 for all.
    """

    def __init__(self, most: int = 0, **options: Any) -> None:
        super().__init__(**options)
        # Categorify's constructor refuses a size together with a threshold; its fit applies both, the threshold first.
        self.max_size = most + FIRST_CODE if most else 0

    def transform(self, col_selector: ColumnSelector, df: Any) -> Any:
        """The codes of each column or combination of ``df``."""
        mapping = self.column_mapping(col_selector)
        inputs = {name: [names] if isinstance(names, str) else list(names) for name, names in mapping.items()}
        columns = list(dict.fromkeys(name for names in inputs.values() for name in names))
        frame = df[columns].reset_index(drop=True)
        empty = [name for name in columns if bool(frame[name].isna().all())]
        if not empty:
            return super().transform(col_selector, frame)[list(mapping)]
        anchored = dispatch.concat([frame, _anchor(frame)], ignore_index=True)
        codes = super().transform(col_selector, anchored)[list(mapping)]
        return codes.iloc[: len(frame)].reset_index(drop=True)


def _anchor(frame: Any) -> Any:
    """A row with a value in every column of ``frame``, in the type of the column."""
    values = {name: "" if frame[name].dtype == object else 0 for name in frame.columns}
    return type(frame)(
        {name: dispatch.nullable_series([value], frame, frame[name].dtype) for name, value in values.items()}
    )


class PadList(Operator):
    """Lists cut to ``length`` codes and padded with 0; NVTabular's ListSlice(pad=True) does not pad on the CPU."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def transform(self, col_selector: ColumnSelector, df: Any) -> Any:
        """The list columns of ``df``, ``length`` codes in each list."""
        return dispatch.make_df({name: self._pad(df[name]) for name in col_selector.names})

    def _pad(self, column: Any) -> Any:
        values, offsets = (part.values for part in dispatch.pull_apart_list(column))
        place = dispatch.arange(len(values), like_df=column)
        row = offsets.searchsorted(place, side="right") - 1
        place = place - offsets[row]
        keep = place < self.length
        # dispatch.zeros of merlin-core 23.8 fails where there is no cuDF.
        padded = dispatch.arange((len(offsets) - 1) * self.length, like_df=column, dtype=np.int32) * 0
        padded[(row * self.length + place)[keep]] = values[keep]
        ends = dispatch.arange(len(offsets), like_df=column) * self.length
        return dispatch.create_multihot_col(_series(ends, column), _series(padded, column))

    def _compute_shape(self, col_schema: ColumnSchema, input_schema: Any) -> ColumnSchema:
        return col_schema.with_shape(((0, None), (self.length, self.length)))


def _series(array: Any, like: Any) -> Any:
    return dispatch.make_series(array, device="cpu" if dispatch.is_cpu_object(like) else None)
