"""Names in the section ``tune``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ...core.suggest import closest
from ..errors import keys
from ..pipeline import PipelineConfig
from ..tune import SHORTHANDS, keys_of


def tune_conflicts(config: PipelineConfig) -> Iterator[str]:
    """Lines about names that are no key, no entry of a key that holds a mapping, and no shorthand."""
    every = [key for key in keys(type(config)) if key.partition(".")[0] != "tune"]
    given = [key for name in config.tune for key in keys_of(name)]
    for key in sorted({key for key in given if given.count(key) > 1}):
        yield f"tune.{key}: is given twice"
    for key in given:
        parent = key.rpartition(".")[0]
        in_mapping = parent in every and isinstance(config.value(parent), Mapping)
        if key not in every and key not in SHORTHANDS and not in_mapping:
            near = closest(key, [*every, *SHORTHANDS])
            yield f"tune.{key}: no such key" + (f"; did you mean {near}?" if near else "")
