"""Saves the trained models as SavedModels with the stock graph's inputs: a row for each user, or for each candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.artifact import Artifact
from ...core.features import Feature

if TYPE_CHECKING:
    from ...models.config import DlrmConfig
    from ...models.ranker.score_fusion import Ranker

QUERY, SCORE = "query", "score"


def save_models(folder: Path, artifacts: Mapping[str, Artifact], config: DlrmConfig) -> tuple[Path, Path]:
    """Write ``query_tower`` and ``ranker`` below ``folder``, and return their paths."""
    from ...models.ranker.stage import load_ranker
    from ...models.retriever.stage import load_towers
    from ...workflows.etl.tensors import Tensors

    tensors = Tensors.load(artifacts["etl"].path)
    towers = load_towers(artifacts["two_tower"].path, tensors)
    ranker = load_ranker(artifacts["ranker"], config, tensors)
    users, items = tensors.schema.side("user", "context"), tensors.schema.side("item")
    query, scorer = folder / "query_tower", folder / "ranker"
    _save(query, lambda columns: {QUERY: towers.query(columns)}, users)
    _save(scorer, lambda columns: {SCORE: score(ranker, towers, columns, users, items)}, [*users, *items])
    return query, scorer


def score(
    ranker: Ranker, towers: Any, columns: Mapping[str, Any], users: Sequence[Feature], items: Sequence[Feature]
) -> Any:
    """Probabilities float32 [N, 1] of N pairs of a user and an item.

    Args:
        columns: features [N, L] of users and items.
    """
    from ...models._merlin import tf

    user = {f.name: columns[f.name] for f in users}
    item = {f.name: columns[f.name] for f in items}
    pairs = {**user, **{name: values[:, None] for name, values in item.items()}}
    if ranker.fusion.retriever:
        pairs |= {"query": towers.query(user), "item_vectors": towers.candidate(item)[:, None]}
    return tf.reshape(tf.sigmoid(ranker(pairs)), [-1, 1])


def _save(folder: Path, call: Callable[[Mapping[str, Any]], Mapping[str, Any]], features: Sequence[Feature]) -> None:
    """Save a model that takes the outputs of NVTabular's workflows: int32 or float32, scalars [N] and lists [N, L]."""
    from ...models._merlin import tf

    def serve(columns: Mapping[str, Any]) -> Mapping[str, Any]:
        shaped = {f.name: tf.reshape(columns[f.name], [-1, *f.dims]) for f in features}
        return call({f.name: tf.cast(shaped[f.name], f.dtype) for f in features})

    specs = {f.name: tf.TensorSpec([None, *_lengths(f)], _dtype(f), name=f.name) for f in features}
    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[specs])
    module.weights = list(module.serve.get_concrete_function().variables)
    # No named signature: merlin-systems loads and saves the model again, which keeps a single function but not names.
    tf.saved_model.save(module, str(folder))


def _lengths(feature: Feature) -> list[int]:
    return [feature.length] if feature.length else []


def _dtype(feature: Feature) -> str:
    return "int32" if feature.kind == "categorical" else "float32"
