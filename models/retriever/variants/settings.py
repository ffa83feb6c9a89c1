"""The settings that ``two_tower.auto`` tries: a few keys each, none of which the config sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ....core.features import HISTORY, FeatureSchema
from ....core.inputs import Inputs, StageInput
from ....core.stage import Sections
from ...config import TwoTowerConfig, conflicts

CONFIGURED = "configured"
DROPOUT = {"user_tower.dropout": 0.3, "item_tower.dropout": 0.3}
FEW_USER_IDS = {"user_id_dropout": 0.9}
WIDE_ITEMS = {"item_tower.emb_dims.item_id": 64}
OTHER_WIDTHS = ("item_tower.default_dim", "user_tower.emb_dims.item_id", "user_tower.emb_dims.history")
"""Keys that say how wide item ids are as well."""


@dataclass(frozen=True)
class Variant:
    """Towers with a few other settings."""

    name: str
    changed: Mapping[str, Any]
    """Key below ``two_tower`` -> its value."""
    beside: Sequence[str] = ()
    """Keys that say the same in another way."""
    ordered: bool | None = None
    """Whether it is for histories with an order; None for all."""

    def of(self, config: TwoTowerConfig) -> TwoTowerConfig:
        """``config`` with the changes."""
        tree = config.model_dump(exclude_unset=True)
        for key, value in self.changed.items():
            *above, last = key.split(".")
            part = tree
            for name in above:
                part = part.setdefault(name, {})
            part[last] = deepcopy(value)
        return TwoTowerConfig.model_validate(tree)


VARIANTS = (
    Variant("wide items and dropout", {**WIDE_ITEMS, **DROPOUT}, OTHER_WIDTHS),
    Variant("wide items", WIDE_ITEMS, OTHER_WIDTHS),
    Variant("few user ids", FEW_USER_IDS),
    Variant("wide items, dropout and few user ids", {**WIDE_ITEMS, **DROPOUT, **FEW_USER_IDS}, OTHER_WIDTHS),
    Variant("mean", {"user_tower.history.kind": "mean"}, ordered=False),
    Variant("transformer", {"user_tower.history.kind": "transformer"}, ordered=True),
)
"""What is tried, the most promising first: time may not be enough for all."""


def variants(config: TwoTowerConfig, schema: FeatureSchema) -> list[Variant]:
    """The configured towers, then the others that leave alone what ``config`` sets."""
    ordered = schema[HISTORY].ordered if HISTORY in schema.names("user") else None
    fitting = [one for one in possible(config) if one.ordered in (None, ordered)]
    return [Variant(CONFIGURED, {}), *fitting]


def possible(config: TwoTowerConfig) -> list[Variant]:
    """Those of `VARIANTS` that leave alone what ``config`` sets, for histories of both kinds."""
    own = set(given(config.model_dump(exclude_unset=True)))
    free = [one for one in VARIANTS if not own & {*one.changed, *one.beside}]
    return [one for one in free if not any(conflicts(one.of(config)))]


def given(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of a tree: ``{a: {b: 1}}`` -> ``a``, ``a.b``."""
    for name, value in tree.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from given(value, f"{prefix}{name}.")


def inputs(sections: Sections) -> Inputs:
    """With ``auto``, what is tried: it depends on which keys are set, which the values of the section do not tell."""
    config = sections["two_tower"]
    if not isinstance(config, TwoTowerConfig) or not config.auto:
        return {}
    tried = json.dumps([[one.name, dict(one.changed)] for one in possible(config)])
    return {"the list of two_tower.auto": StageInput(hashlib.sha256(tried.encode()).hexdigest())}
