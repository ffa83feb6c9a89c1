"""NVTabular graphs for the features of one side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.features import Feature, Kind, Side
from ...core.merlin_env import prepare_merlin
from ..config import TextConfig
from ..tables.raw_features import RawFeature

LONGEST_LIST = 16
"""The most values of a list feature that models read."""


def build_graph(
    features: Sequence[RawFeature],
    lengths: Mapping[str, int],
    folder: Path,
    min_frequency: int,
    text: TextConfig,
    max_size: Mapping[str, int],
) -> Any:
    """The NVTabular node that computes all ``features``, which are of one side.

    Args:
        lengths: list, text or vector feature -> its fixed length.
        folder: where Categorify writes its vocabularies.
        min_frequency: a category with fewer rows is out of vocabulary. This does not apply to ids: each occurs in one
            row of users or items, so ``train_part`` selects them by their interactions.
        max_size: feature -> the most categories of its vocabulary; ids are selected by ``train_part`` here, too.
    """
    prepare_merlin()
    from nvtabular import ops

    from .content_ops import content_op
    from .hash_op import Hash
    from .ops import Encode, PadList

    side = features[0].side
    threshold = min_frequency if min_frequency > 1 else 0
    options = {"out_path": str(folder), "dtype": "int32"}
    nodes = []
    for feature in features:
        if feature.role == "continuous":
            nodes.append([feature.name] >> ops.FillMedian() >> ops.Normalize(out_dtype="float32") >> tags(side))
            continue
        if feature.role in ("text", "vector"):
            nodes.append([feature.name] >> content_op(feature, lengths[feature.name], text) >> tags(side))
            continue
        is_id = feature.name in ("user_id", "item_id")
        most = 0 if is_id else max_size.get(feature.name, 0)
        if feature.buckets:
            node = list(feature.raw) >> Hash(feature.name, feature.raw, feature.buckets)
        elif feature.role == "cross":
            node = [list(feature.raw)] >> Encode(most, encode_type="combo", freq_threshold=threshold, **options)
        else:
            node = [feature.name] >> Encode(most, freq_threshold=0 if is_id else threshold, **options)
        if feature.is_list:
            node = node >> PadList(lengths[feature.name])
        nodes.append(node >> tags(side, is_id=is_id))
    return sum(nodes[1:], nodes[0])


def tags(side: Side, *, is_id: bool = False) -> Any:
    """The operator that adds Merlin's tags for a side, or for its id column."""
    from merlin.schema import Tags
    from nvtabular import ops

    by_side = {
        "user": [Tags.USER, Tags.USER_ID] if is_id else [Tags.USER],
        "item": [Tags.ITEM, Tags.ITEM_ID] if is_id else [Tags.ITEM],
        "context": [Tags.CONTEXT],
    }
    return ops.AddTags(by_side[side])


def model_features(
    features: Sequence[RawFeature], lengths: Mapping[str, int], cardinalities: Mapping[str, int]
) -> list[Feature]:
    """The features as models see them."""
    return [
        Feature(
            name=f.name,
            side=f.side,
            kind=kind_of(f, cardinalities),
            cardinality=cardinalities.get(f.name, 0),
            length=lengths.get(f.name),
            raw=f.raw,
        )
        for f in features
    ]


def kind_of(feature: RawFeature, cardinalities: Mapping[str, int]) -> Kind:
    """The kind of a feature in the models; encoded text has no codes, so it is a vector."""
    if feature.role == "continuous":
        return "continuous"
    encoded = feature.role == "text" and feature.name not in cardinalities
    return "vector" if encoded or feature.role == "vector" else "categorical"


def cardinalities(workflow: Any) -> dict[str, int]:
    """Categorical output of a fitted workflow -> its largest code + 1."""
    properties = {column.name: column.properties for column in workflow.output_schema}
    return {name: int(p["domain"]["max"]) + 1 for name, p in properties.items() if "domain" in p}
