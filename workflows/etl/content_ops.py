"""NVTabular operators for text and pretrained vectors of items, on pandas and cuDF alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.merlin_env import prepare_merlin
from ..config import TextConfig
from ..tables.raw_features import RawFeature
from .content import encoded_texts, hashed_texts, unit_vectors

prepare_merlin()

import numpy as np  # noqa: E402
from merlin.core import dispatch  # noqa: E402
from merlin.schema import ColumnSchema  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from nvtabular.ops.operator import ColumnSelector, Operator  # noqa: E402


def content_op(feature: RawFeature, length: int, config: TextConfig) -> Operator:
    """The operator for a text or vector feature of ``length`` codes or numbers."""
    if feature.role == "vector":
        return UnitVector(length)
    if config.encoder is not None:
        return EncodeText(config.encoder, length)
    return HashText(config.buckets, length, config.ngrams)


class FixedLengthOp(Operator):
    """Base of operators whose output is a list of ``length`` values of dtype ``kind`` in every row."""

    kind: Any = np.float32

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def rows(self, values: Any) -> NDArray[Any]:
        """The output [n, length] for the values of a column on the host, object [n]; missing ones are None or NaN."""
        raise NotImplementedError

    def transform(self, col_selector: ColumnSelector, df: Any) -> Any:
        """The columns of ``df``, ``length`` values in each row."""
        return dispatch.make_df({name: self._column(df[name]) for name in col_selector.names})

    def _column(self, column: Any) -> Any:
        on_cpu = dispatch.is_cpu_object(column)
        host = (column if on_cpu else column.to_pandas()).to_numpy(dtype=object)
        found = self.rows(host).astype(self.kind)
        device = "cpu" if on_cpu else None
        ends = dispatch.make_series(np.arange(len(found) + 1) * self.length, device=device)
        return dispatch.create_multihot_col(ends, dispatch.make_series(found.ravel(), device=device))

    @property
    def output_dtype(self) -> Any:
        return self.kind

    def _compute_shape(self, col_schema: ColumnSchema, input_schema: Any) -> ColumnSchema:
        return col_schema.with_shape(((0, None), (self.length, self.length)))


class HashText(FixedLengthOp):
    """Text as hashed codes of its words and n-grams, see ``text.text_codes``; missing text is all padding."""

    kind = np.int32

    def __init__(self, buckets: int, length: int, ngrams: Sequence[int]) -> None:
        super().__init__(length)
        self.buckets, self.ngrams = buckets, tuple(ngrams)

    def rows(self, values: Any) -> NDArray[Any]:
        return hashed_texts(values, self.buckets, self.length, self.ngrams)

    def _compute_properties(self, col_schema: ColumnSchema, input_schema: Any) -> ColumnSchema:
        domain = {"min": 0, "max": self.buckets, "name": col_schema.name}
        return col_schema.with_properties({"domain": domain})


class UnitVector(FixedLengthOp):
    """Vectors divided by their L2 norm, so that their scale does not matter; a missing vector is 0."""

    def rows(self, values: Any) -> NDArray[Any]:
        return unit_vectors(values, self.length)


class EncodeText(FixedLengthOp):
    """Text as the vector of a sentence-transformers model, divided by its L2 norm; missing or blank text is 0."""

    def __init__(self, folder: str, length: int) -> None:
        super().__init__(length)
        self.folder = folder

    def rows(self, values: Any) -> NDArray[Any]:
        return encoded_texts(values, self.folder, self.length)
