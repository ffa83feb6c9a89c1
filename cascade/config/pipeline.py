"""``pipeline.yaml``: every section in one frozen model, and where each value came from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from ..core.errors import ConfigError
from ..core.section import Section
from ..ensemble.config import ExportConfig, ServerConfig, ServingConfig
from ..evaluation.config import EvaluationConfig
from ..models.config import DlrmConfig, TwoTowerConfig
from ..workflows.config import (
    DataConfig,
    EtlConfig,
    FeatureStoreConfig,
    HistoryConfig,
    SchemaConfig,
)
from .checks import conflicts
from .errors import explain
from .sources import (
    Origins,
    Sources,
    read_environment,
    read_file,
    read_sets,
)
from .tune import Dimensions


class PipelineConfig(Section):
    """The whole pipeline; only ``schema`` has no default."""

    model_config = ConfigDict(populate_by_name=True)

    schema_: SchemaConfig = Field(alias="schema")
    """Which columns become features. Named ``schema`` in the file; pydantic keeps that attribute for itself."""
    data: DataConfig = DataConfig()
    etl: EtlConfig = EtlConfig()
    history: HistoryConfig = HistoryConfig()
    two_tower: TwoTowerConfig = TwoTowerConfig()
    dlrm_ranker: DlrmConfig = DlrmConfig()
    feature_store: FeatureStoreConfig = FeatureStoreConfig()
    serving: ServingConfig = ServingConfig()
    export: ExportConfig = ExportConfig()
    server: ServerConfig = ServerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    tune: Dimensions = {}
    """What `cascade tune` searches: key -> a list of choices, or {low, high, step, log}."""

    def section(self, key: str) -> Section:
        """The section at a dotted key such as ``serving.ann``."""
        part = self.value(key)
        if not isinstance(part, Section):
            raise ConfigError(f"{key}: expected a section, it is a single value")
        return part

    def value(self, key: str) -> Any:
        """What is at a dotted key: a section, a value, or one of the values that a key holds by name."""
        part: Any = self
        for name in key.split("."):
            held = isinstance(part, Mapping)
            part = part.get(name) if held else getattr(part, "schema_" if name == "schema" else name)
        return part

    def tree(self) -> dict[str, Any]:
        """Plain nested dictionaries under the keys of the file."""
        return self.model_dump(mode="json", by_alias=True)

    def given(self) -> dict[str, Any]:
        """Of ``tree`` what was given, by a file or otherwise; ``validated`` makes the same config of it."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


def load_config(
    path: Path, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None
) -> tuple[PipelineConfig, dict[str, str]]:
    """Merge defaults, the file, ``--set a.b=v`` and the environment (``CASCADE_SERVING__ANN__TOPK=300``).

    ``data.path`` and ``etl.text.encoder`` are taken relative to the folder of the file.

    Returns:
        The config, and for every leaf key its origin: ``default``, ``file:line``, ``--set`` or ``environment NAME``.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    sources = read_file(path)
    for override in (read_sets(sets), read_environment(os.environ if environ is None else environ)):
        sources.override(override)
    _derive(sources, path)
    config = validated(sources)
    return config, _leaf_origins(config.tree(), sources.origins)


def validated(sources: Sources) -> PipelineConfig:
    """The config of merged sources.

    Raises:
        ConfigError: one line for each thing that is wrong, or that cannot work together.
    """
    config = parsed(sources)
    if wrong := conflicts(config):
        raise ConfigError("\n".join(wrong))
    return config


def parsed(sources: Sources) -> PipelineConfig:
    """The config of merged sources, each value by itself as it should be.

    Raises:
        ConfigError: one line for each thing that is wrong.
    """
    try:
        return PipelineConfig.model_validate(sources.tree)
    except ValidationError as error:
        raise ConfigError(explain(error, PipelineConfig, sources.origins)) from None


def project_name(path: Path) -> str:
    """The file's stem as an identifier that Feast accepts as a project."""
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII).strip("_")
    return name if name[:1].isalpha() else f"p_{name}".rstrip("_")


def _derive(sources: Sources, path: Path) -> None:
    """Fill what follows from where the file is: the Feast project, and the folder of ``data.path``."""
    store = sources.tree.setdefault("feature_store", {})
    if isinstance(store, dict) and store.get("project") is None:
        sources.put(("feature_store", "project"), project_name(path), "default, from the file's name")
    data = sources.tree.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str):
        data["path"] = str((path.parent / data["path"]).resolve())
    etl = sources.tree.get("etl")
    text = etl.get("text") if isinstance(etl, dict) else None
    if isinstance(text, dict) and isinstance(text.get("encoder"), str):
        text["encoder"] = str((path.parent / text["encoder"]).resolve())


def _leaf_origins(tree: Any, origins: Origins, path: tuple[str, ...] = ()) -> dict[str, str]:
    """Origin of every leaf below ``tree``; a leaf takes that of the nearest key above it, else ``default``."""
    if isinstance(tree, Mapping) and tree:
        return {k: v for name in tree for k, v in _leaf_origins(tree[name], origins, (*path, name)).items()}
    key = ".".join(path)  # a key of the section tune has dots itself
    dotted = {".".join(names): origin for names, origin in origins.items()}
    above = [key, *(key[: match.start()] for match in reversed(list(re.finditer(r"\.", key))))]
    return {key: next((dotted[name] for name in above if name in dotted), "default")}
