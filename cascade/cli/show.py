"""``cascade show``: an artifact with its model card and its newest evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import (
    NONE,
    PIPELINE,
    RUNS,
    AsJson,
    ConfigFile,
    Runs,
    Sets,
    Verbose,
    load,
    print_json,
)


def show(
    what: Annotated[str, typer.Argument(help="Name of a stage, e.g. ranker, or folder of an artifact.")],
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show an artifact and its model card.

    If the artifact has been evaluated, the metrics of its newest evaluation follow.
    """
    from ..core.artifact import MANIFEST, Artifact
    from ..pipeline.stages import find
    from .text.artifact import as_text, describe

    folder = Path(what)
    is_folder = (folder / MANIFEST).is_file() or "/" in what
    found = describe(Artifact.load(folder) if is_folder else find(load(config, sets), runs, what))
    if as_json:
        print_json(found)
    else:
        typer.echo(as_text(found))
