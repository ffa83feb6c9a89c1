"""Our features as a Merlin schema, and the embedding widths of a config."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ...core.errors import ConfigError
from ...core.features import Feature, FeatureSchema, Side, ascii_name
from ...core.suggest import nearest


def merlin_column(feature: Feature) -> Any:
    """A feature as Merlin's column schema. Features of the same vocabulary share a domain, hence an embedding table."""
    from merlin.schema import ColumnSchema, Tags

    side = {"user": Tags.USER, "item": Tags.ITEM, "context": Tags.CONTEXT}[feature.side]
    ids = {"user_id": [Tags.USER_ID], "item_id": [Tags.ITEM_ID]}.get(feature.name, [])
    if feature.kind == "continuous":
        return ColumnSchema(feature.name, tags=[side, Tags.CONTINUOUS], dtype="float32", dims=(None, 1))
    if feature.kind == "vector":
        return ColumnSchema(feature.name, tags=[side, Tags.EMBEDDING], dtype="float32", dims=(None, feature.dims[0]))
    domain = {"min": 0, "max": feature.cardinality - 1, "name": ascii_name(vocabulary(feature))}
    return ColumnSchema(
        feature.name,
        tags=[side, Tags.CATEGORICAL, *ids],
        dtype="int64",
        dims=(None, feature.dims[0]),
        properties={"domain": domain},
    )


def merlin_schema(features: Iterable[Feature]) -> Any:
    """``merlin.schema.Schema`` of these features."""
    from merlin.schema import Schema

    return Schema([merlin_column(feature) for feature in features])


def vocabulary(feature: Feature) -> str:
    """The name of the vocabulary whose codes the feature holds: for ``history`` it is item_id."""
    return feature.vocabulary or feature.name


def check_names(schema: FeatureSchema, dims: Mapping[str, int], key: str) -> None:
    """Check that each width in a config is for a feature of the schema.

    Raises:
        ConfigError: with the key, the unknown name and the most similar known one.
    """
    known = [feature.name for feature in schema if feature.kind != "continuous"]
    for name in dims:
        if name not in known:
            raise ConfigError(f"{key}.{name}: no such categorical feature; {nearest(name, known)}")


def table_dims(schema: FeatureSchema, sides: tuple[Side, ...], dims: Mapping[str, int], default: int) -> dict[str, int]:
    """Vocabulary -> width of its embedding table or projection, for the features of these sides."""
    features = [f for f in schema.side(*sides) if f.kind != "continuous"]
    return {vocabulary(f): dims.get(f.name, dims.get(vocabulary(f), default)) for f in features}
