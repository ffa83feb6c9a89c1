"""Names of features: which columns the schema holds, and what refers to them."""

from __future__ import annotations

from collections.abc import Iterator

from ...core.suggest import nearest
from ...workflows.etl.vocabularies import conflicts as vocabulary_conflicts
from ...workflows.tables.names import name_conflicts
from ..pipeline import PipelineConfig


def feature_conflicts(config: PipelineConfig) -> Iterator[str]:
    """Lines about the schema, vocabularies, embedding widths, and features of the history that the user tower reads."""
    yield from name_conflicts(config.schema_, config.data.labels)
    yield from _columns(config)
    yield from _crosses(config)
    yield from _content(config)
    yield from _embeddings(config)
    yield from _history(config)
    yield from vocabulary_conflicts(config.schema_, config.etl)


def _columns(config: PipelineConfig) -> Iterator[str]:
    schema = config.schema_
    for name in sorted(set(schema.dense) & set(schema.sparse)):
        yield f"schema.dense and schema.sparse: both hold {name!r}, a column is one or the other"
    for key, names in (("dense", schema.dense), ("sparse", schema.sparse)):
        for name in sorted({n for n in names if names.count(n) > 1}):
            yield f"schema.{key}: holds {name!r} twice"


def _crosses(config: PipelineConfig) -> Iterator[str]:
    schema = config.schema_
    for number, cross in enumerate(schema.crosses):
        key = f"schema.crosses[{number}]"
        if len(set(cross)) < 2:
            yield f"{key}: is {cross}, a cross needs at least two different columns"
        for name in cross:
            if name not in schema.sparse:
                yield f"{key}: {name!r} is not in schema.sparse; {nearest(name, schema.sparse)}"


def _content(config: PipelineConfig) -> Iterator[str]:
    """A column of text or of vectors has no other role."""
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
        yield "etl.text.encoder: schema.text is empty: name a text column of items there, or leave the encoder out"


def _embeddings(config: PipelineConfig) -> Iterator[str]:
    """Embedding widths may be given for sparse columns, crosses, the history and its gaps, text and vectors."""
    schema, gaps = config.schema_, ["history_gap"] if config.history.gaps else []
    known = [*schema.sparse, *schema.cross_names, "history", *gaps, *schema.text, *schema.vectors]
    given = {
        "two_tower.user_tower.emb_dims": config.two_tower.user_tower.emb_dims,
        "two_tower.item_tower.emb_dims": config.two_tower.item_tower.emb_dims,
        "dlrm_ranker.embedding_dims": config.dlrm_ranker.embedding_dims,
    }
    for key, dims in given.items():
        for name in dims:
            if name not in known:
                yield f"{key}.{name}: {name!r} is not in schema.sparse; {nearest(name, known)}"


def _history(config: PipelineConfig) -> Iterator[str]:
    """Item features and number of targets that the user tower takes from a history."""
    history, known = config.two_tower.user_tower.history, [*config.schema_.sparse, *config.schema_.dense]
    key, length = "two_tower.user_tower.history", config.history.items()
    for name in history.features:
        if name not in known and name not in config.schema_.cross_names:
            yield f"{key}.features: {name!r} is not in schema; {nearest(name, known)}"
    if (history.targets or 1) > length:
        yield f"{key}.targets: is {history.targets}, must be at most history.length, which is {length}"
