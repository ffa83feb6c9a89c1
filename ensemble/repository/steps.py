"""The steps of the request graph, built from the artifacts of a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...core.artifact import Artifact
from ...core.features import FeatureSchema, Side
from ...core.files import read_json
from ...models.index.stage import VECTORS
from ...models.onnx.external_tables import model_files
from ...models.retriever.item_to_item.neighbour_weights import NeighbourWeights
from ...models.retriever.neighbours import Neighbours
from ...workflows.config import FeatureStoreConfig
from ...workflows.data.repeats import keeps_seen
from ..config import ServingConfig
from ..graph.ops import DropSeen, EncodeQuery, MergeNeighbours, Order, Respond, Retrieve, Transform
from ..graph.ops.onnx_model import Inputs
from ..graph.request_graph import Step, Steps, request_inputs
from ..protocol.inputs import Input
from .ranker_steps import model_inputs, ranker_steps
from .user_lookup import user_lookup


def release_steps(
    parts: Mapping[str, Artifact], serving: ServingConfig, store: FeatureStoreConfig, release: str, work: Path
) -> tuple[Steps, tuple[Input, ...]]:
    """The steps and the inputs of the served graph.

    Args:
        parts: the artifacts data, etl, features, two_tower, index and ranker.
        release: id of the release.
        work: folder for files that are computed here. The steps refer to them, so keep it until the export is done.
    """
    etl, index = parts["etl"].path, parts["index"].path
    schema = FeatureSchema.load(etl / "schema.json")
    users, items = _inputs(schema, "user", "context"), _inputs(schema, "item")
    dim = np.load(index / VECTORS, mmap_mode="r").shape[1]
    strings = np.load(etl / "item_ids.npy", mmap_mode="r").dtype.kind == "U"
    transform, tables = _transform(etl / "transforms", keeps_seen(serving.seen, parts["data"].path))
    profile = read_json(parts["data"].path / "tables.json")["columns"]["users"]
    raw = {name: spec for name, spec in transform.reads.items() if name in transform.raw and name != "user_id"}
    times = transform.history if transform.gaps else 0
    lookup = user_lookup(parts["features"].path, store, [name for name in raw if name in profile], times)
    tower = parts["two_tower"].path / "query_tower.onnx"
    merge, decay = None, None
    if (neighbours := Neighbours.load(parts["two_tower"].path)) is not None:
        facts = {"topk": serving.ann.topk, "dim": dim, "history": transform.history}
        merge, decay = _merge_neighbours(neighbours, index, work, **facts), neighbours.decay
    lookup_items, rank = ranker_steps(parts, serving.ranker, users, items, work, decay)
    steps = Steps(
        lookup_user=Step(lookup),
        transform=Step(transform, tables),
        encode_query=Step(EncodeQuery(model_inputs(tower, users)[0], dim), model_files(tower, tower.name)),
        retrieve=Step(Retrieve(serving.ann.topk, dim), _file(parts["index"], "index.faiss")),
        drop_seen=Step(DropSeen(serving.ann.topk)),
        lookup_items=lookup_items,
        rank=rank,
        order=Step(Order(dim, serving.rerank.k, serving.rerank.diversity_lambda, serving.thresholds.min_score)),
        respond=Step(Respond(strings, release), _file(parts["etl"], "item_ids.npy")),
        merge_neighbours=merge,
    )
    contexts = {name: spec for name, spec in raw.items() if name not in profile}
    users_are, items_are = lookup.reads["user_id"].dtype, transform.item_dtype
    return steps, request_inputs(users_are, items_are, contexts, serving, transform.limits)


def _transform(folder: Path, keep_seen: bool) -> tuple[Transform, dict[str, Path]]:
    """The op and its files; those with parameters are left out, which are in graph.json already."""
    op = replace(Transform.compiled(folder), keep_seen=keep_seen)
    return op, {file.name: file for file in sorted(folder.iterdir()) if file.suffix != ".params"}


def _merge_neighbours(neighbours: Neighbours, index: Path, work: Path, **facts: int) -> Step:
    """The step that merges the retriever's item-item weights, whose files are written into ``work``."""
    weights = NeighbourWeights.of(neighbours.weights)
    weights.save(work)
    files = {file.name: file for file in weights.files(work).values()}
    return Step(MergeNeighbours(**facts, decay=neighbours.decay), {**files, VECTORS: index / VECTORS})


def _inputs(schema: FeatureSchema, *sides: Side) -> Inputs:
    return {feature.name: (feature.dtype, feature.dims[0]) for feature in schema.side(*sides)}


def _file(part: Artifact, name: str) -> dict[str, Path]:
    return {name: part.path / name}
