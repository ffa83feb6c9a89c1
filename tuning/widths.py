"""Layer and embedding widths that depend on each other.

A shorthand such as ``two_tower.embed_dim`` sets several widths at once. A tuned width may force others to match it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..models.config import TowerConfig

WIDEST = 512
"""Upper limit of a layer's width; an embedding may be wider, and then sets the limit."""

Setting = tuple[str, Any]
"""A dotted key and its value."""


def halving(last: int, layers: int) -> list[int]:
    """Widths of ``layers`` layers that halve down to ``last``: 64, 3 -> [256, 128, 64]."""
    return [min(last << steps, max(WIDEST, last)) for steps in reversed(range(layers))]


def expand_shorthand(name: str, value: int, config: PipelineConfig) -> list[Setting]:
    """The keys that a shorthand sets, and their values.

    ``two_tower.embed_dim``: width of the id embeddings and of both towers' output.
    ``two_tower.layers``: number of layers of each tower.
    ``dlrm_ranker.embed_dim``: width of the id embeddings and of the bottom network's output.
    ``dlrm_ranker.layers``: number of layers of the top network, including the one that gives the logit.
    """
    towers, ranker = config.two_tower, config.dlrm_ranker
    match name:
        case "two_tower.embed_dim":
            user, item = towers.user_tower, towers.item_tower
            ids = [("user_tower.emb_dims.user_id", value), ("item_tower.emb_dims.item_id", value)]
            last = [(f"{side}.mlp", halving(value, len(t.mlp))) for side, t in _sides(user, item)]
            return [(f"two_tower.{key}", width) for key, width in [*ids, *last]]
        case "two_tower.layers":
            sides = _sides(towers.user_tower, towers.item_tower)
            return [(f"two_tower.{side}.mlp", halving(tower.mlp[-1], value)) for side, tower in sides]
        case "dlrm_ranker.embed_dim":
            bottom = ("dlrm_ranker.bottom_mlp", halving(value, len(ranker.bottom_mlp)))
            return [*((f"dlrm_ranker.embedding_dims.{name}", value) for name in ("user_id", "item_id")), bottom]
        case _:
            return [("dlrm_ranker.top_mlp", [*halving(ranker.bottom_mlp[-1], value - 1), 1])]


def matching_widths(config: PipelineConfig, tuned: Sequence[str]) -> Iterator[Setting]:
    """Settings that make other widths match the tuned ones. A key that is tuned itself is left alone.

    Both towers must have outputs of the same width, and the items of the history share the item tower's embedding
    table.
    """
    user, item = config.two_tower.user_tower, config.two_tower.item_tower
    for side, tower, other in (("item_tower", item, user), ("user_tower", user, item)):
        key, others = f"two_tower.{side}.mlp", f"two_tower.{_twin(side)}.mlp"
        if tower.mlp[-1] != other.mlp[-1] and _is_tuned(others, tuned) and not _is_tuned(key, tuned):
            yield key, [*tower.mlp[:-1], other.mlp[-1]]
    shared, own = "two_tower.item_tower.emb_dims.item_id", "two_tower.user_tower.emb_dims"
    width = item.emb_dims.get("item_id", item.default_dim)
    for name in ("item_id", "history"):
        if user.emb_dims.get(name, width) == width:
            continue
        if not _is_tuned(f"{own}.{name}", tuned):
            yield f"{own}.{name}", width
        elif not _is_tuned(shared, tuned):
            yield shared, user.emb_dims[name]


def _sides(user: TowerConfig, item: TowerConfig) -> list[tuple[str, TowerConfig]]:
    return [("user_tower", user), ("item_tower", item)]


def _twin(side: str) -> str:
    return "user_tower" if side == "item_tower" else "item_tower"


def _is_tuned(key: str, tuned: Sequence[str]) -> bool:
    return any(key == name or key.startswith(f"{name}.") for name in tuned)
