"""``cascade clean``: what no release needs, and its removal."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ..core.text_table import table
from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, has_config, load, print_json


def clean(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    remove: Annotated[bool, typer.Option("--remove", help="Remove what is shown.")] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show what no release needs in the folder of runs, or remove it.

    Kept are the artifacts of this config, of every pipeline's last run and of the releases in the model repository,
    with all that these were made from. Nothing is removed while a run is going on.
    """
    from ..pipeline.clean import clean as clean_runs
    from ..pipeline.clean import freed

    merged = load(config, sets) if has_config(config) else None
    found = clean_runs(merged, runs, dry=True)
    gain = freed(found) / 1e6
    if remove:
        found = clean_runs(merged, runs, dry=False)
    if as_json:
        print_json([asdict(entry) for entry in found])
        return
    if found:
        rows = [(str(entry.path), f"{entry.size / 1e6:,.1f} MB", entry.why) for entry in found]
        typer.echo(table(("", "size", "why it can go"), rows))
    end = "removed" if remove or not found else "`cascade clean --remove` removes them"
    typer.echo(f"{len(found)} of {runs}, {gain:,.1f} MB of disk: {end}" if found else f"{runs}: nothing to remove")
