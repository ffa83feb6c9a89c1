"""Widths that depend on each other: names that stand for several keys, and keys that follow one that is tuned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..models.config import TowerConfig

WIDEST = 512
"""No layer is made wider than this, or than the embedding if that is."""

Setting = tuple[str, Any]
"""A dotted key and its value."""


def halving(last: int, layers: int) -> list[int]:
    """Widths of ``layers`` layers that end in ``last``, each twice the next: 64, 3 -> [256, 128, 64]."""
    return [min(last << steps, max(WIDEST, last)) for steps in reversed(range(layers))]


def expand(name: str, value: int, config: PipelineConfig) -> list[Setting]:
    """What a shorthand sets.

    ``two_tower.embed_dim``: width of the id embeddings and of the vectors that both towers end in.
    ``two_tower.layers``: layers of each tower.
    ``dlrm_ranker.embed_dim``: width of the id embeddings and of the dense features' vector.
    ``dlrm_ranker.layers``: layers of the top, the logit's among them.
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


def follow(config: PipelineConfig, tuned: Sequence[str]) -> Iterator[Setting]:
    """What has to change along with the keys that are tuned; a key that is tuned itself follows nothing.

    Both towers end in the same width; the history's items share the item tower's table.
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
