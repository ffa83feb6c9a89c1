"""``cascade features``: the Feast feature store."""

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
    help="Manage the Feast feature store. Example: cascade features materialize",
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
    """Register the feature views in Feast.

    Entities and the push source are registered as well, as `feast apply` does.
    """
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
    """Make the online store equal to the newest offline features.

    Events that were pushed after these were made stay.
    """
    from ..pipeline.stages import find
    from ..workflows.features.store import materialize

    merged = load(config, sets)
    for name, rows in materialize(merged.feature_store, find(merged, runs, "features")).items():
        typer.echo(f"{name}: {rows:,} rows")


@features.command(epilog="Example: cascade features push --user 42 --item 50 --item 181")
def push(
    user: Annotated[str, typer.Option(help="User id as in the source data.")],
    item: Annotated[list[str], typer.Option(help="Id of an item that the user took, oldest first. Repeatable.")],
    time: Annotated[
        list[int] | None,
        typer.Option(help="Time of each item's event, in the unit of the log. Only with history.gaps. Default: now."),
    ] = None,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    verbose: Verbose = False,
) -> None:
    """Add items to a user's history.

    The next recommendation takes them into account, without any training.
    """
    from ..workflows.features.store import push_history

    history = push_history(load(config, sets).feature_store, user, item, time or None)
    items = "1 item" if len(history) == 1 else f"{len(history)} items, most recent first"
    typer.echo(f"user {user}: the history holds {items}: {_start(history)}")


def _start(values: list[Any]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return f"{shown}, ..." if len(values) > 5 else shown
