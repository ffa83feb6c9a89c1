"""The verb ``cascade doctor``."""

from __future__ import annotations

import typer

from ..options import NONE, PIPELINE, AsJson, ConfigFile, Sets, Verbose


def doctor(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Check that this machine can run everything.

    A failed check comes with advice, and the exit code is 1.
    """
    from .check import checks_json, checks_text
    from .examine import examine

    checks = examine(config, sets)
    typer.echo(checks_json(checks) if as_json else checks_text(checks))
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
