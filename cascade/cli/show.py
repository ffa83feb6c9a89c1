"""``cascade show``: what an artifact is, its model card if it was trained, and what has been measured of it since."""

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
)


def show(
    what: Annotated[str, typer.Argument(help="A stage, e.g. ranker, or the folder of an artifact.")],
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show an artifact: a trained one by its model card, beside what an evaluation has measured of it."""
    import json

    from ..core.artifact import MANIFEST, Artifact
    from ..pipeline.stages import find
    from .artifact_text import as_text, describe

    folder = Path(what)
    is_folder = (folder / MANIFEST).is_file() or "/" in what
    found = describe(Artifact.load(folder) if is_folder else find(load(config, sets), runs, what))
    typer.echo(json.dumps(found, indent=2, default=str) if as_json else as_text(found))
