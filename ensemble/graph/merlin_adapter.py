"""Adapter from an op to a merlin operator: schema propagation, the check of the wiring, files to export.

It imports merlin, which imports TensorFlow, so import this module inside the function that builds a graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core.merlin_env import prepare_merlin
from ...core.signature import ColumnSpec, Signature, check_wiring
from .ops.base import Op

prepare_merlin()

from merlin.dag import BaseOperator, ColumnSelector, DataFormats  # noqa: E402
from merlin.schema import ColumnSchema, Schema  # noqa: E402


class Operator(BaseOperator):
    """An op as a node of a merlin graph.

    Args:
        op: the op to run.
        files: what it loads: name inside its folder -> where the file or folder is now.
    """

    def __init__(self, op: Op, files: Mapping[str, Path] | None = None) -> None:
        super().__init__()
        self.op = op
        self.files = dict(files or {})

    @property
    def label(self) -> str:
        return self.op.kind

    @property
    def export_name(self) -> str:
        return self.op.kind

    def compute_input_schema(
        self, root_schema: Schema, parents_schema: Schema, deps_schema: Schema, selector: ColumnSelector
    ) -> Schema:
        """The columns that the op reads, selected from those of its parents.

        Raises:
            WiringError: naming the op, the column, what the op expects and what it finds.
        """
        have = parents_schema + deps_schema
        check_wiring(self.op.kind, self.op.reads, to_signature(have))
        return have.select_by_name(list(self.op.reads))

    def compute_selector(
        self,
        input_schema: Schema,
        selector: ColumnSelector,
        parents_selector: ColumnSelector | None = None,
        dependencies_selector: ColumnSelector | None = None,
    ) -> ColumnSelector:
        return ColumnSelector(list(self.op.reads))

    def compute_output_schema(
        self, input_schema: Schema, col_selector: ColumnSelector, prev_output_schema: Schema | None = None
    ) -> Schema:
        return to_schema(self.op.writes)

    def column_mapping(self, col_selector: ColumnSelector) -> dict[str, list[str]]:
        return {name: list(self.op.reads) for name in self.op.writes}

    @property
    def supported_formats(self) -> DataFormats:
        return DataFormats.NUMPY_DICT_ARRAY

    def transform(self, col_selector: ColumnSelector, transformable: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the op inside merlin's own executor."""
        return dict(self.op({name: transformable[name] for name in self.op.reads}))


def to_schema(signature: Signature) -> Schema:
    """Merlin's schema of these columns. A dim that varies has no upper bound."""
    return Schema(
        [
            ColumnSchema(
                name, dtype=spec.dtype, dims=(None, *(None if isinstance(dim, str) else dim for dim in spec.dims))
            )
            for name, spec in signature.items()
        ]
    )


def to_signature(schema: Schema) -> dict[str, ColumnSpec]:
    """The signature of these merlin columns. A dim that varies is named "?"."""
    return {
        name: ColumnSpec(
            column.dtype.name,
            tuple(dim.max if dim.is_fixed else "?" for dim in (column.shape.dims or ())[1:]),
        )
        for name, column in schema.column_schemas.items()
    }
