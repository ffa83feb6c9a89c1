"""Configs for Python programs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..config.load import config_of
from ..config.pipeline import PipelineConfig
from ..core.errors import ConfigError
from .arguments import expect


def load_config(path: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> PipelineConfig:
    """Read and check the configuration of a pipeline.

    Later sources override earlier ones: defaults, the file, environment variables such as
    ``CASCADE_SERVING__ANN__TOPK=300``, ``overrides``.

    Args:
        path: the YAML file; without one, everything comes from ``overrides``. Relative paths in ``data.path`` and
            ``etl.text.encoder`` start at its folder, without a file at the current one.
        overrides: dotted keys, nested mappings or both: ``{"serving.ann.topk": 300, "data": {"positive": "rating >=
            4"}}``. A nested mapping leaves the keys beside its own as they are.

    Returns:
        The frozen config; ``config.serving.ann.topk`` reads a value.

    Raises:
        ConfigError: an argument has another type, or one line for each error in the config: the key, its value, what
            was expected, and where the value was given.

    Example:
        >>> config = cascade.load_config("shop.yaml", overrides={"two_tower.training.epochs": 5})
        >>> config = cascade.load_config(overrides={"schema.sparse": ["user_id", "item_id"]})
    """
    if path is not None:
        expect("path", path, (str, Path), "the path of a YAML file")
    if overrides is not None:
        expect("overrides", overrides, Mapping, "a mapping of keys")
    try:
        return config_of(None if path is None else Path(path), overrides or {})
    except RecursionError:
        raise ConfigError("overrides: nested too deeply, or a mapping holds itself") from None
