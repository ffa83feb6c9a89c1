"""The steps of the request graph, from the artifacts of a release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...core.artifact import Artifact
from ...core.errors import ArtifactError
from ...core.features import HISTORY, FeatureSchema, Side
from ...models.index.stage import VECTORS
from ...models.onnx.external_tables import model_files
from ...models.ranker.export import ITEM
from ...models.ranker.item_part import write_item_part
from ...workflows.config import FeatureStoreConfig
from ...workflows.history.transitions import TRANSITIONS, WIDTH, Transitions
from ..config import RankerServingConfig, ServingConfig
from ..repository.ranker_choice import choose_ranker
from .inputs import Input
from .ops import (
    DropSeen,
    EncodeQuery,
    LookupItems,
    Order,
    Rank,
    Respond,
    Retrieve,
    Transform,
)
from .ops.lookup_user import export_lookup
from .ops.onnx_model import Inputs
from .request_graph import Step, Steps, request_inputs

TRANSFORM_PARAMS = ("params.json", "items.json")


def steps_of(
    parts: Mapping[str, Artifact], serving: ServingConfig, store: FeatureStoreConfig, release: str, work: Path
) -> tuple[Steps, tuple[Input, ...]]:
    """The steps and the inputs of the served graph.

    Args:
        parts: the artifacts data, etl, features, two_tower, index and ranker.
        release: id of the release.
        work: folder for files that are made here; steps name them, so it must outlive the export.
    """
    etl, index = parts["etl"].path, parts["index"].path
    schema = FeatureSchema.load(etl / "schema.json")
    users, items = _inputs(schema, "user", "context"), _inputs(schema, "item")
    dim = np.load(index / VECTORS, mmap_mode="r").shape[1]
    strings = np.load(etl / "item_ids.npy", mmap_mode="r").dtype.kind == "U"
    transform, tables = _transform(etl / "transforms")
    profile = json.loads((parts["data"].path / "tables.json").read_text())["columns"]["users"]
    raw = {name: spec for name, spec in transform.reads.items() if name in transform.raw and name != "user_id"}
    times = transform.history if transform.gaps else 0
    lookup = export_lookup(parts["features"].path, store, [name for name in raw if name in profile], times)
    tower = parts["two_tower"].path / "query_tower.onnx"
    lookup_items, rank = ranker_steps(parts, serving.ranker, users, items, work)
    steps = Steps(
        lookup_user=Step(lookup),
        transform=Step(transform, tables),
        encode_query=Step(EncodeQuery(taken(tower, users)[0], dim), model_files(tower, tower.name)),
        retrieve=Step(Retrieve(serving.ann.topk, dim), _file(parts["index"], "index.faiss")),
        drop_seen=Step(DropSeen(serving.ann.topk)),
        lookup_items=lookup_items,
        rank=rank,
        order=Step(Order(dim, serving.rerank.k, serving.rerank.diversity_lambda, serving.thresholds.min_score)),
        respond=Step(Respond(strings, release), _file(parts["etl"], "item_ids.npy")),
    )
    contexts = {name: spec for name, spec in raw.items() if name not in profile}
    return steps, request_inputs(lookup.reads["user_id"].dtype, transform.item_dtype, contexts, serving)


def ranker_steps(
    parts: Mapping[str, Artifact], config: RankerServingConfig, users: Inputs, items: Inputs, work: Path
) -> tuple[Step, Step]:
    """The steps lookup_items, whose snapshot holds what the ranker reads, and rank.

    Args:
        parts: the artifacts etl, index and ranker.
        users, items: the features of the users, those of the context among them, and of the items.
        work: takes the items' parts.
    """
    vectors, ranker = parts["index"].path / VECTORS, parts["ranker"]
    dim = np.load(vectors, mmap_mode="r").shape[1]
    model, items, files = served_ranker(parts, config, items, work)
    op, files = LookupItems(items, dim), {**files, VECTORS: vectors}
    if last := ranker.metrics.get("transitions", {}).get("last"):
        op = LookupItems(items, dim, last, users[HISTORY][1])
        files |= {file.name: file for file in Transitions.files(ranker.path).values()}
    for_item: Inputs = {**items, "item_vectors": ("float32", dim), TRANSITIONS: ("float32", WIDTH)}
    inputs = taken(model, {**users, "query": ("float32", dim)}, for_item)
    return Step(op, files), Step(Rank(*inputs), model_files(model, "ranker.onnx"))


def served_ranker(
    parts: Mapping[str, Artifact], config: RankerServingConfig, items: Inputs, work: Path
) -> tuple[Path, Inputs, dict[str, Path]]:
    """The ranker's model, what the item snapshot holds for it, and the snapshot's files.

    Args:
        parts: the artifacts etl and ranker.
        items: the item features.
        work: takes the items' parts, which are computed here: ``config`` decides whether there are any.
    """
    tables = {name: parts["etl"].path / "items" / f"{name}.npy" for name in items}
    choice = choose_ranker(parts, config)
    model = parts["ranker"].path / choice.model
    if choice.part_widths is None:
        return model, items, {file.name: file for file in tables.values()}
    files = write_item_part(parts["ranker"].path / ITEM, tables, choice.part_widths, work)
    inputs: Inputs = {name: ("float32", width) for name, width in choice.part_widths.items()}
    return model, inputs, {file.name: file for file in files}


def taken(model: Path, *offered: Inputs) -> tuple[Inputs, ...]:
    """Of the inputs ``offered`` those that an ONNX model takes: an exporter drops what a model does not use.

    Raises:
        ArtifactError: if the model takes something else.
    """
    import onnx

    names = [entry.name for entry in onnx.load(str(model), load_external_data=False).graph.input]
    known = [name for inputs in offered for name in inputs]
    strange = [name for name in names if name not in known]
    if strange:
        raise ArtifactError(f"{model.name}: takes {', '.join(strange)}; the graph offers {', '.join(known)}")
    return tuple({name: spec for name, spec in inputs.items() if name in names} for inputs in offered)


def _transform(folder: Path) -> tuple[Transform, dict[str, Path]]:
    op = Transform.compiled(folder)
    return op, {file.name: file for file in sorted(folder.iterdir()) if file.name not in TRANSFORM_PARAMS}


def _inputs(schema: FeatureSchema, *sides: Side) -> Inputs:
    return {feature.name: (feature.dtype, feature.dims[0]) for feature in schema.side(*sides)}


def _file(part: Artifact, name: str) -> dict[str, Path]:
    return {name: part.path / name}
