"""What several commands share: options, loading the config, printing JSON."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .logging import configure_logging

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..ensemble.config import ExportConfig

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="CASCADE_CONFIG", help="YAML file that describes the pipeline.")
]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key of the config, e.g. serving.ann.topk=300. Repeatable."
    ),
]
Runs = Annotated[
    Path, typer.Option("--runs", envvar="CASCADE_RUNS", help="Folder that holds the artifacts of all stages.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        callback=configure_logging,
        is_eager=True,
        help="Show tracebacks and the logs of libraries.",
    ),
]
PIPELINE = Path("pipeline.yaml")
RUNS = Path("runs")
NONE: list[str] = []
_COMMAND = re.compile(
    r"`(cascade (?:run|plan|serve|evaluate|tune|bench|features \w+|release \w+|ab \w+|events \w+|index \w+)\b[^`]*)`"
)
"""A command that takes a config, as error messages name it."""
_loaded = PIPELINE
"""The file that was last loaded."""


def has_config(file: Path) -> bool:
    """Whether there is a config to load: a file that was named, or pipeline.yaml in the current folder."""
    return file != PIPELINE or file.exists()


def load(file: Path, sets: list[str]) -> PipelineConfig:
    """The config of ``file`` with ``--set`` and the environment merged in.

    Raises:
        ConfigError: one line for each error.
    """
    return load_with_origins(file, sets)[0]


def load_with_origins(file: Path, sets: list[str]) -> tuple[PipelineConfig, dict[str, str]]:
    """The same config, and for every key its origin.

    Raises:
        ConfigError: one line for each error.
    """
    from ..config.load import config_with_origins

    _note(file)
    return config_with_origins(file, sets)


def load_export(file: Path, sets: list[str]) -> ExportConfig:
    """The section ``export`` of the same config. Mistakes in other sections do not matter.

    Raises:
        ConfigError: one line for each error.
    """
    from ..config.export_section import export_section

    _note(file)
    return export_section(file, sets)


def _note(file: Path) -> None:
    """Remember which config is in use."""
    global _loaded
    from ..core.errors import ConfigError

    _loaded = file
    if not file.exists():
        raise ConfigError(f"{file}: no such file; name the pipeline's file with --config or CASCADE_CONFIG")


def with_config(message: str) -> str:
    """``message``, in which the commands between backticks name the config file in use, unless it is pipeline.yaml."""
    if _loaded == PIPELINE:
        return message
    return _COMMAND.sub(lambda found: f"`{found[1]} -c {shlex.quote(str(_loaded))}`", message)


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON on stdout."""
    import json

    typer.echo(json.dumps(value, indent=2, default=str))
