"""``cascade events``: what users did with what they were shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import NONE, PIPELINE, AsJson, ConfigFile, Sets, Verbose, print_json
from ..release import places

events = typer.Typer(
    help="Feed outcomes of users. Example: cascade events ingest clicks.parquet",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@events.callback()
def group() -> None:
    """Feed outcomes of users."""


@events.command(epilog="Example: cascade events ingest clicks.parquet")
def ingest(
    file: Annotated[Path, typer.Argument(help="Parquet, CSV with a header, or JSON lines.")],
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Keep the outcome events of a file, each with the arm of its user.

    Columns: user_id, time, event (impression, click, conversion or any name), and optionally value (an amount) and
    event_id (an event with an id counts once). A file counts once. If a row is bad, nothing of the file is kept.
    """
    from dataclasses import asdict

    from ...core.progress import progress
    from ...rollout.outcomes.event_log import EventLog

    form = "{desc} {percentage:3.0f}%|{bar}|"
    with progress(total=1.0, desc=file.name, leave=False, bar_format=form) as bar:

        def on_share(share: float) -> None:
            bar.update(share - bar.n)

        found = EventLog(places(config, sets)[1]).ingest(file, on_share)
    if as_json:
        print_json(asdict(found))
    elif found.known:
        typer.echo(f"{file}: {found.events:,} events, which were ingested before; nothing is changed")
    else:
        typer.echo(f"{file}: {found.events:,} events, {found.in_arms:,} of them during a canary or an A/B test")
