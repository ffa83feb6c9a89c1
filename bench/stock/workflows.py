"""Combines the fitted NVTabular workflows of an etl artifact into one workflow for users and one for items.

This module imports NVTabular, so import it inside functions only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.features import FeatureSchema
from ...core.merlin_env import prepare_merlin
from .tables import HISTORY, StockTable

prepare_merlin()

import pandas as pd  # noqa: E402
from merlin.schema import ColumnSchema, Schema  # noqa: E402
from nvtabular import Workflow, ops  # noqa: E402

from ...workflows.etl.ops import PadList  # noqa: E402

RAW_ID = "raw_item_id"
"""Column with the raw item id, next to ``item_id``, which holds its code."""


def user_workflow(etl: Path, table: StockTable, scratch: Path) -> Any:
    """The workflow of user, context and history features.

    Args:
        scratch: folder for the vocabulary of the history until the workflow is saved.
    """
    length = FeatureSchema.load(etl / "schema.json")["history"].dims[0]
    items = pd.read_parquet(etl / "workflow" / "item" / "categories" / "unique.item_id.parquet")["item_id"]
    encode = ops.Categorify(vocabs={HISTORY: items}, dtype="int32", out_path=str(scratch))
    history = [HISTORY] >> encode >> PadList(length) >> ops.Rename(name="history")
    sides = [_fitted(etl, side) for side in ("user", "context") if (etl / "workflow" / side).is_dir()]
    return _ready(sum(sides, history), table)


def item_workflow(etl: Path, table: StockTable) -> Any:
    """The workflow of item features, which also passes on the raw id as ``RAW_ID``."""
    return _ready(_fitted(etl, "item") + ([table.key] >> ops.Rename(name=RAW_ID)), table)


def table_schema(table: StockTable) -> Any:
    """Merlin's schema of the raw columns."""
    return Schema([_column(column.name, column.type) for column in table.rows.schema])


def _fitted(etl: Path, side: str) -> Any:
    return Workflow.load(str(etl / "workflow" / side)).output_node


def _ready(node: Any, table: StockTable) -> Any:
    workflow = Workflow(node)
    workflow.fit_schema(table_schema(table))
    return workflow


def _column(name: str, kind: Any) -> Any:
    import pyarrow as pa

    ragged = pa.types.is_list(kind)
    element = kind.value_type if ragged else kind
    numeric = {pa.int32(): "int32", pa.int64(): "int64", pa.float64(): "float64"}
    dims = (None, (0, None)) if ragged else (None,)
    return ColumnSchema(name, dtype=numeric.get(element, "object"), dims=dims)
