"""The stock request graph, in merlin-systems' own operators.

Importing this module imports merlin-systems, which imports TensorFlow: do it inside the function that builds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...core.merlin_env import prepare_merlin
from .saved_models import SCORE
from .tables import StockTable
from .workflows import RAW_ID, table_schema

prepare_merlin()

import numpy as np  # noqa: E402
from merlin.schema import ColumnSchema, Schema  # noqa: E402
from merlin.systems.dag import Ensemble  # noqa: E402
from merlin.systems.dag.ops.faiss import QueryFaiss  # noqa: E402
from merlin.systems.dag.ops.feast import QueryFeast  # noqa: E402
from merlin.systems.dag.ops.softmax_sampling import SoftmaxSampling  # noqa: E402
from merlin.systems.dag.ops.tensorflow import PredictTensorflow  # noqa: E402
from merlin.systems.dag.ops.unroll_features import UnrollFeatures  # noqa: E402
from merlin.systems.dag.ops.workflow import TransformWorkflow  # noqa: E402


def stock_graph(
    repo: Path,
    users: tuple[StockTable, Any],
    items: tuple[StockTable, Any],
    models: tuple[Path, Path],
    index: Path,
    candidates: int,
    shown: int,
) -> Ensemble:
    """user_id int64 [1] -> ordered_ids int32 [1, shown], ordered_scores float32 [1, shown].

    Args:
        users: table and workflow.
        items: table and workflow.
        models: SavedModels of the query tower and the ranker.
    """
    (user_table, user_workflow), (item_table, item_workflow) = users, items
    query_tower, ranker = models

    user_attributes = ["user_id"] >> query_feast(repo, user_table, "user_id")
    user_features = user_attributes >> TransformWorkflow(user_workflow)
    retrieval = user_features >> PredictTensorflow(str(query_tower)) >> QueryFaiss(index, topk=candidates)
    item_attributes = retrieval["candidate_ids"] >> query_feast(repo, item_table, "candidate_ids")
    item_features = item_attributes >> TransformWorkflow(item_workflow)
    to_unroll = user_features[user_workflow.output_schema.column_names]
    combined = item_features >> UnrollFeatures("item_id", to_unroll)
    ranking = combined >> PredictTensorflow(str(ranker))
    ordering = combined[RAW_ID] >> SoftmaxSampling(relevance_col=ranking[SCORE], topk=shown, temperature=20.0)
    return Ensemble(ordering, Schema([ColumnSchema("user_id", dtype=np.int64)]))


def query_feast(repo: Path, table: StockTable, column: str) -> QueryFeast:
    """What ``QueryFeast.from_feature_view`` makes, for types that it does not know as well."""
    schema = table_schema(table)
    lists = [name for name in table.columns if schema[name].is_list]
    return QueryFeast(
        repo_path=str(repo),
        entity_id=table.key,
        entity_view=table.view,
        entity_column=column,
        features=[name for name in table.columns if name not in lists],
        mh_features=lists,
        input_schema=Schema([ColumnSchema(column, dtype=schema[table.key].dtype)]),
        output_schema=schema,
        include_id=True,
    )
