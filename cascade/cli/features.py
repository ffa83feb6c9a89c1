"""The commands below ``cascade features``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .options import (
    NONE,
    PIPELINE,
    RUNS,
    ConfigFile,
    Runs,
    Sets,
    Verbose,
    load,
)

features = typer.Typer(
    help="The Feast feature store: apply, materialize, push. Example: cascade features materialize",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@features.command(epilog="Example: cascade features apply")
def apply(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    verbose: Verbose = False,
) -> None:
    """Register entities, feature views and the push source, as `feast apply` does."""
    from ..pipeline.stages import find
    from ..workflows.features.store import apply

    merged = load(config, sets)
    for name in apply(merged.feature_store, find(merged, runs, "features")):
        typer.echo(name)


@features.command(epilog="Example: cascade features materialize --set feature_store.online=redis")
def materialize(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    verbose: Verbose = False,
) -> None:
    """Write the offline rows to the online store."""
    from ..pipeline.stages import find
    from ..workflows.features.store import materialize

    merged = load(config, sets)
    for name, rows in materialize(merged.feature_store, find(merged, runs, "features")).items():
        typer.echo(f"{name}: {rows:,} rows")


@features.command(epilog="Example: cascade features push --user 42 --item 50 --item 181")
def push(
    user: Annotated[str, typer.Option(help="Raw user id.")],
    item: Annotated[list[str], typer.Option(help="Raw item id, in the order of the events; may be given again.")],
    time: Annotated[
        list[int] | None,
        typer.Option(help="With history.gaps: timestamp of each item's event, in the log's own unit; now by default."),
    ] = None,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    verbose: Verbose = False,
) -> None:
    """Put items in front of a user's history; the next answer knows them, without any training."""
    from ..workflows.features.store import push_history

    history = push_history(load(config, sets).feature_store, user, item, time or None)
    typer.echo(f"user {user}: the history holds {len(history)} items, most recent first: {_start(history)}")


def _start(values: list[Any]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return f"{shown}, ..." if len(values) > 5 else shown
