"""From ``pipeline.yaml``, ``--set`` and the environment to a checked config, with the origin of each value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.errors import ConfigError
from .checks import conflicts
from .errors import explain
from .pipeline import PipelineConfig
from .sources import Origins, Sources, read_environment, read_file, read_mapping, read_sets

NO_FILE = "cascade.yaml"
"""Stands for the file of a config that has none: its folder is the current one, and Feast's project ``cascade``."""


def config_with_origins(
    path: Path, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> tuple[PipelineConfig, dict[str, str]]:
    """Merge defaults, the file, ``--set a.b=v`` and the environment (``CASCADE_SERVING__ANN__TOPK=300``).

    Later sources override earlier ones. Relative paths in ``data.path`` and ``etl.text.encoder`` start at the folder of
    the file.

    Args:
        sets: ``key=value`` each, the value as YAML.
        environ: the environment; `os.environ` by default.

    Returns:
        The config, and for every leaf key its origin: ``default``, ``file:line``, ``--set`` or ``environment NAME``.

    Raises:
        ConfigError: one line for each error.
    """
    sources = read_file(path)
    for override in (read_sets(sets), read_environment(os.environ if environ is None else environ)):
        sources.override(override)
    _derive(sources, path)
    config = validated(sources)
    return config, _leaf_origins(config.tree(), sources.origins)


def config_of(
    path: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> PipelineConfig:
    """The config of a file, if there is one, then the environment, then ``overrides``: see `cascade.load_config`.

    Raises:
        ConfigError: one line for each error.
    """
    sources = Sources() if path is None else read_file(path)
    for override in (read_environment(os.environ if environ is None else environ), read_mapping(overrides)):
        sources.override(override)
    _derive(sources, Path(NO_FILE) if path is None else path)
    return validated(sources)


def validated(sources: Sources) -> PipelineConfig:
    """The config of merged sources, checked key by key and across sections.

    Raises:
        ConfigError: one line for each error.
    """
    config = parsed(sources)
    if wrong := conflicts(config):
        raise ConfigError("\n".join(wrong))
    return config


def parsed(sources: Sources) -> PipelineConfig:
    """The config of merged sources, checked key by key but not across sections.

    Raises:
        ConfigError: one line for each error.
    """
    try:
        return _with_slices(PipelineConfig.model_validate(sources.tree))
    except ValidationError as error:
        raise ConfigError(explain(error, PipelineConfig, sources.origins)) from None


def _with_slices(config: PipelineConfig) -> PipelineConfig:
    """The config with ``data.keep`` holding those columns of ``evaluation.slices`` that nothing else keeps."""
    schema, keep = config.schema_, config.data.keep
    made = ("label", "positive", "split", "timestamp")
    known = {*schema.sparse, *schema.dense, *schema.text, *schema.vectors, *keep, *made}
    fresh = [name for name in dict.fromkeys(config.evaluation.slices) if name not in known]
    if not fresh:
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"keep": [*keep, *fresh]})})


def project_name(path: Path) -> str:
    """The file's stem as an identifier that Feast accepts as a project."""
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"p_{name}".rstrip("_")


def _derive(sources: Sources, path: Path) -> None:
    """Fill in what depends on the file's place: the Feast project, and relative paths."""
    store = sources.tree.setdefault("feature_store", {})
    if isinstance(store, dict) and store.get("project") is None:
        sources.put(("feature_store", "project"), project_name(path), "default, from the file's name")
    etl = sources.tree.get("etl")
    _make_absolute(sources.tree.get("data"), "path", path.parent)
    _make_absolute(etl.get("text") if isinstance(etl, dict) else None, "encoder", path.parent)


def _make_absolute(section: Any, key: str, folder: Path) -> None:
    """Take ``section[key]``, if it is there, relative to ``folder``."""
    if isinstance(section, dict) and isinstance(section.get(key), str):
        section[key] = str((folder / section[key]).resolve())


def _leaf_origins(tree: Any, origins: Origins, path: tuple[str, ...] = ()) -> dict[str, str]:
    """Origin of every leaf below ``tree``: that of the nearest given key at or above it, else ``default``."""
    if isinstance(tree, Mapping) and tree:
        return {k: v for name in tree for k, v in _leaf_origins(tree[name], origins, (*path, name)).items()}
    key = ".".join(path)  # keys of the section tune contain dots themselves
    dotted = {".".join(names): origin for names, origin in origins.items()}
    above = [key, *(key[: match.start()] for match in reversed(list(re.finditer(r"\.", key))))]
    return {key: next((dotted[name] for name in above if name in dotted), "default")}
