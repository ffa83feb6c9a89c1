"""Options that several commands of the command line share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .logging import set_noise

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig

ConfigFile = Annotated[Path, typer.Option("--config", "-c", envvar="CASCADE_CONFIG", help="The pipeline's file.")]
Sets = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key; may be given again.")]
Runs = Annotated[Path, typer.Option("--runs", envvar="CASCADE_RUNS", help="Folder of the stages' artifacts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", callback=set_noise, is_eager=True, help="Show tracebacks and libraries' logs.")
]
PIPELINE = Path("pipeline.yaml")
RUNS = Path("runs")
NONE: list[str] = []


def load(file: Path, sets: list[str]) -> PipelineConfig:
    """The merged configuration of a command."""
    from ..config.load import load_config

    return load_config(file, sets)[0]
