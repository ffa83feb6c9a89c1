"""What has to fit across sections."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

from .errors import keys
from .tune import SHORTHANDS, keys_of

if TYPE_CHECKING:
    from .pipeline import PipelineConfig


def conflicts(config: PipelineConfig) -> list[str]:
    """One line for each conflict; each names the keys and what would fit."""
    return [
        *_dims(config),
        *_history_width(config),
        *_history(config),
        *_negatives(config),
        *_interactions(config),
        *_ranker_history(config),
        *_transitions(config),
        *_labels(config),
        *_baselines(config),
        *_sizes(config),
        *_layout(config),
        *_schema(config),
        *_feature_names(config),
        *_vocabularies(config),
        *_data(config),
        *_ports(config),
        *_tune(config),
    ]


def _dims(config: PipelineConfig) -> Iterator[str]:
    user, item = config.two_tower.user_tower.mlp, config.two_tower.item_tower.mlp
    if user[-1] != item[-1]:
        yield (
            f"two_tower.user_tower.mlp ends in {user[-1]} and two_tower.item_tower.mlp in {item[-1]}: "
            "both must end in the same width, it is that of the vectors that are compared"
        )
    top = config.dlrm_ranker.top_mlp
    if top[-1] != 1:
        yield f"dlrm_ranker.top_mlp: ends in {top[-1]}, must end in 1 (one logit), e.g. {[*top, 1]}"
    widths = {
        "two_tower.user_tower.mlp": user,
        "two_tower.item_tower.mlp": item,
        "dlrm_ranker.bottom_mlp": config.dlrm_ranker.bottom_mlp,
        "dlrm_ranker.top_mlp": top,
        "two_tower.user_tower.emb_dims": config.two_tower.user_tower.emb_dims.values(),
        "two_tower.item_tower.emb_dims": config.two_tower.item_tower.emb_dims.values(),
        "dlrm_ranker.embedding_dims": config.dlrm_ranker.embedding_dims.values(),
    }
    for key, values in widths.items():
        for width in values:
            if width < 1:
                yield f"{key}: holds {width}, every width must be at least 1"


def _interactions(config: PipelineConfig) -> Iterator[str]:
    """Keys of one interaction with another."""
    ranker = config.dlrm_ranker
    if ranker.interactions != "cross" and ranker.cross != type(ranker.cross)():
        yield (
            f"dlrm_ranker.cross: is for dlrm_ranker.interactions: cross, which is {ranker.interactions}: "
            "set that to cross, or leave dlrm_ranker.cross out"
        )


def _ranker_history(config: PipelineConfig) -> Iterator[str]:
    """Keys of target attention without it."""
    history, key = config.dlrm_ranker.history, "dlrm_ranker.history"
    for name in ("heads", "features"):
        if history.kind != "target_attention" and getattr(history, name) != getattr(type(history)(), name):
            yield (
                f"{key}.{name}: is for {key}.kind: target_attention, which is {history.kind}: set that, or leave "
                f"{key}.{name} out"
            )


def _transitions(config: PipelineConfig) -> Iterator[str]:
    own, key, length = config.dlrm_ranker.transitions, "dlrm_ranker.transitions", config.history.length
    if own.last > length:
        yield f"{key}.last: is {own.last}, history.length is {length}: must not be more"
    if not own.last and own.window != type(own)().window:
        yield f"{key}.window: is for {key}.last above 0: set that, e.g. 5, or leave {key}.window out"


def _labels(config: PipelineConfig) -> Iterator[str]:
    """What the ranker predicts."""
    ranker, known = config.dlrm_ranker, ["label", *config.data.labels]
    for name in config.data.labels:
        if name in ("user_id", "item_id", "timestamp", "label", "positive", "split"):
            yield f"data.labels: {name!r} means something else in interactions; name further columns of 0 and 1"
    for name in ranker.labels:
        if name not in known:
            yield f"dlrm_ranker.labels.{name}: {name!r} is not in data.labels; {_nearest(name, known)}"
    if ranker.labels and ranker.train_on == "candidates":
        yield (
            "dlrm_ranker.labels: are learned from impressions, dlrm_ranker.train_on is candidates: "
            "leave one of them out"
        )
    if ranker.labels and ranker.positive_weight != 1:
        yield (
            "dlrm_ranker.positive_weight: is for one label, there are dlrm_ranker.labels: "
            "give each its own, dlrm_ranker.labels.<name>.positive_weight"
        )


def _baselines(config: PipelineConfig) -> Iterator[str]:
    """Baselines of logged impressions where the ranker does not learn from them."""
    from ..evaluation.config import IMPRESSION_BASELINES

    named = [name for name in config.evaluation.baselines or [] if name in IMPRESSION_BASELINES]
    if named and config.dlrm_ranker.train_on == "candidates":
        yield (
            f"evaluation.baselines: {' and '.join(named)} predict logged impressions, dlrm_ranker.train_on is "
            "candidates: leave them out, or set dlrm_ranker.train_on: impressions"
        )


def _history_width(config: PipelineConfig) -> Iterator[str]:
    """The user tower looks the history's items up in the item tower's table."""
    user, item = config.two_tower.user_tower, config.two_tower.item_tower
    width = item.emb_dims.get("item_id", item.default_dim)
    for name in ("item_id", "history"):
        if user.emb_dims.get(name, width) != width:
            yield (
                f"two_tower.user_tower.emb_dims.{name}: is {user.emb_dims[name]}, "
                f"two_tower.item_tower.emb_dims.item_id {width}: "
                "both must be equal, the history's items share the item tower's table"
            )


def _history(config: PipelineConfig) -> Iterator[str]:
    """What the user tower reads of a history."""
    history, known = config.two_tower.user_tower.history, [*config.schema_.sparse, *config.schema_.dense]
    for name in history.features:
        if name not in known and name not in config.schema_.cross_names:
            yield f"two_tower.user_tower.history.features: {name!r} is not in schema; {_nearest(name, known)}"
    if (history.targets or 1) > config.history.length:
        yield (
            f"two_tower.user_tower.history.targets: is {history.targets}, history.length is {config.history.length}: "
            "must not be more"
        )


def _negatives(config: PipelineConfig) -> Iterator[str]:
    from ..models.config import conflicts as two_tower_conflicts

    yield from two_tower_conflicts(config.two_tower)


def _sizes(config: PipelineConfig) -> Iterator[str]:
    k, topk = config.serving.rerank.k, config.serving.ann.topk
    if k > topk:
        yield (
            f"serving.rerank.k: is {k}, serving.ann.topk is {topk}: only candidates can be reranked, "
            f"so k must be at most {topk}, or topk at least {k}"
        )


def _layout(config: PipelineConfig) -> Iterator[str]:
    """What only a model for each step can have."""
    serving = config.serving
    if serving.backend == "onnxruntime" and serving.layout != "ensemble":
        yield (
            f"serving.backend: onnxruntime runs steps that are models of their own, serving.layout is "
            f"{serving.layout}: set serving.layout: ensemble, or serving.backend: python"
        )
    if serving.tensorrt.enabled and serving.backend != "onnxruntime":
        yield (
            f"serving.tensorrt.enabled: TensorRT accelerates onnxruntime models, serving.backend is "
            f"{serving.backend}: set serving.backend: onnxruntime, or serving.tensorrt.enabled: false"
        )
    if serving.step_instances:
        yield from _step_instances(config)


def _step_instances(config: PipelineConfig) -> Iterator[str]:
    from ..ensemble.graph.request_graph import Steps

    layout, steps = config.serving.layout, [step.name for step in fields(Steps)]
    if layout != "ensemble":
        yield (
            f"serving.step_instances: steps have instances of their own only with serving.layout: ensemble, it is "
            f"{layout}; server.instances is for that"
        )
    for step, count in config.serving.step_instances.items():
        if step not in steps:
            yield f"serving.step_instances.{step}: the request path has no such step; {_nearest(step, steps)}"
        if count < 1:
            yield f"serving.step_instances.{step}: is {count}, must be at least 1"


def _schema(config: PipelineConfig) -> Iterator[str]:
    schema = config.schema_
    for name in sorted(set(schema.dense) & set(schema.sparse)):
        yield f"schema.dense and schema.sparse: both hold {name!r}, a column is one or the other"
    yield from _content(config)
    for key, names in (("dense", schema.dense), ("sparse", schema.sparse)):
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"schema.{key}: holds {name!r} twice"
    for number, cross in enumerate(schema.crosses):
        key = f"schema.crosses[{number}]"
        if len(set(cross)) < 2:
            yield f"{key}: is {cross}, a cross needs at least two different columns"
        for name in cross:
            if name not in schema.sparse:
                yield f"{key}: {name!r} is not in schema.sparse; {_nearest(name, schema.sparse)}"


def _content(config: PipelineConfig) -> Iterator[str]:
    """A column of text or vectors has that role alone."""
    schema = config.schema_
    roles = {"sparse": schema.sparse, "dense": schema.dense, "text": schema.text, "vectors": schema.vectors}
    for key in ("text", "vectors"):
        for name in sorted(set(roles[key])):
            others = [other for other, names in roles.items() if other != key and name in names]
            if others and not (key == "vectors" and others == ["text"]):
                yield f"schema.{key} and schema.{others[0]}: both hold {name!r}, a column has one role"
            if roles[key].count(name) > 1:
                yield f"schema.{key}: holds {name!r} twice"
    if any(n < 1 for n in config.etl.text.ngrams):
        yield f"etl.text.ngrams: is {config.etl.text.ngrams}, every length must be at least 1"
    if config.etl.text.encoder is not None and not schema.text:
        yield "etl.text.encoder: there is no schema.text to encode: name a column of items there, or leave it out"


def _feature_names(config: PipelineConfig) -> Iterator[str]:
    """Embedding widths are given for sparse columns, crosses, the history and its gaps, text and vectors."""
    schema, gaps = config.schema_, ["history_gap"] if config.history.gaps else []
    known = [*schema.sparse, *schema.cross_names, "history", *gaps, *schema.text, *schema.vectors]
    named = {
        "two_tower.user_tower.emb_dims": config.two_tower.user_tower.emb_dims,
        "two_tower.item_tower.emb_dims": config.two_tower.item_tower.emb_dims,
        "dlrm_ranker.embedding_dims": config.dlrm_ranker.embedding_dims,
    }
    for key, dims in named.items():
        for name in dims:
            if name not in known:
                yield f"{key}.{name}: {name!r} is not in schema.sparse; {_nearest(name, known)}"


def _vocabularies(config: PipelineConfig) -> Iterator[str]:
    from ..workflows.etl.vocabularies import conflicts as vocabulary_conflicts

    yield from vocabulary_conflicts(config.schema_, config.etl)


def _data(config: PipelineConfig) -> Iterator[str]:
    data = config.data
    if data.source == "tables" and data.path is None:
        yield "data.path: required with data.source: tables; the folder of interactions, users and items"
    if data.split.by == "column" and data.split.column is None:
        yield "data.split.column: required with data.split.by: column; it holds train, valid or test"


def _ports(config: PipelineConfig) -> Iterator[str]:
    ports = {name: getattr(config.server, name) for name in ("http_port", "grpc_port", "metrics_port")}
    for name, port in ports.items():
        twin = next((n for n, p in ports.items() if p == port and n < name), None)
        if port and twin:
            yield f"server.{twin} and server.{name}: both are {port}; give each its own, or 0 for a free one"


def _tune(config: PipelineConfig) -> Iterator[str]:
    """Every name is a key, a name below a key that holds names, or a shorthand."""
    every = [key for key in keys(type(config)) if key.partition(".")[0] != "tune"]
    named = [key for name in config.tune for key in keys_of(name)]
    for key in sorted({key for key in named if named.count(key) > 1}):
        yield f"tune.{key}: is there twice"
    for key in named:
        parent = key.rpartition(".")[0]
        holds_names = parent in every and isinstance(config.value(parent), Mapping)
        if key not in every and key not in SHORTHANDS and not holds_names:
            near = difflib.get_close_matches(key, [*every, *SHORTHANDS], n=1)
            yield f"tune.{key}: no such key" + (f"; did you mean {near[0]}?" if near else "")


def _nearest(name: str, valid: list[str]) -> str:
    near = difflib.get_close_matches(name, valid, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it holds {', '.join(valid)}"
