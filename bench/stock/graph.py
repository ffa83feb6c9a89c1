"""The stock request graph of merlin-systems' own operators.

This module imports merlin-systems and with it TensorFlow, so import it inside functions only.
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
    """The graph from user_id int64 [1] to ordered_ids int32 [1, shown] and ordered_scores float32 [1, shown].

    Args:
        users: the users' table and fitted workflow.
        items: the items' table and fitted workflow.
        models: folders of the SavedModels of the query tower and the ranker.
        index: file of the FAISS index.
        candidates: items to rank for a user.
        shown: items in an answer.
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
    """Like ``QueryFeast.from_feature_view``, but also for types that it does not know."""
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
