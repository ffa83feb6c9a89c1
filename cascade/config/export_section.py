"""The section ``export`` alone, for commands that have to be quick and must not fail for a mistake in another one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from ..ensemble.config import ExportConfig
from .sources import read_environment, read_file, read_sets


def export_section(path: Path, sets: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> ExportConfig:
    """The section of a config file, ``--set`` and the environment; see `config_with_origins` for the arguments.

    Raises:
        ConfigError: the file cannot be read, or the section is not valid: one line for each error of the whole file.
    """
    sources = read_file(path)
    for override in (read_sets(sets), read_environment(os.environ if environ is None else environ)):
        sources.override(override)
    try:
        return ExportConfig.model_validate(sources.tree.get("export", {}))
    except ValidationError:
        from .load import config_with_origins  # it says what is wrong, and where

        return config_with_origins(path, sets, environ)[0].export
