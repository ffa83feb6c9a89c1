"""Widths of layers and embeddings that have to match."""

from __future__ import annotations

from collections.abc import Iterator

from ..pipeline import PipelineConfig


def width_conflicts(config: PipelineConfig) -> Iterator[str]:
    """Lines about widths of towers, ranker and embedding tables."""
    yield from _last_layers(config)
    yield from _positive(config)
    yield from _shared_item_table(config)


def _last_layers(config: PipelineConfig) -> Iterator[str]:
    user, item = config.two_tower.user_tower.mlp, config.two_tower.item_tower.mlp
    if user[-1] != item[-1]:
        yield (
            f"two_tower.user_tower.mlp ends in {user[-1]} and two_tower.item_tower.mlp in {item[-1]}: "
            "both must end in the same width, because user and item vectors are compared"
        )
    top = config.dlrm_ranker.top_mlp
    if top[-1] != 1:
        yield f"dlrm_ranker.top_mlp: ends in {top[-1]}, must end in 1 (one logit), e.g. {[*top, 1]}"


def _positive(config: PipelineConfig) -> Iterator[str]:
    towers, ranker = config.two_tower, config.dlrm_ranker
    widths = {
        "two_tower.user_tower.mlp": towers.user_tower.mlp,
        "two_tower.item_tower.mlp": towers.item_tower.mlp,
        "dlrm_ranker.bottom_mlp": ranker.bottom_mlp,
        "dlrm_ranker.top_mlp": ranker.top_mlp,
        "two_tower.user_tower.emb_dims": towers.user_tower.emb_dims.values(),
        "two_tower.item_tower.emb_dims": towers.item_tower.emb_dims.values(),
        "dlrm_ranker.embedding_dims": ranker.embedding_dims.values(),
    }
    for key, values in widths.items():
        for width in values:
            if width < 1:
                yield f"{key}: holds {width}, every width must be at least 1"


def _shared_item_table(config: PipelineConfig) -> Iterator[str]:
    """The user tower embeds the history's items with the item tower's table."""
    user, item = config.two_tower.user_tower, config.two_tower.item_tower
    width = item.emb_dims.get("item_id", item.default_dim)
    for name in ("item_id", "history"):
        if user.emb_dims.get(name, width) != width:
            yield (
                f"two_tower.user_tower.emb_dims.{name}: is {user.emb_dims[name]}, "
                f"two_tower.item_tower.emb_dims.item_id {width}: "
                "both must be equal, because the history's items share the item tower's table"
            )
