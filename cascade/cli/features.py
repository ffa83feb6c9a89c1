"""``cascade features``: the Feast feature store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig

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
    from ..rollout.releases.live_readers import live_readers
    from ..workflows.features.store import apply

    merged = load(config, sets)
    readers = live_readers(merged.export, merged.feature_store)
    for name in apply(merged.feature_store, find(merged, runs, "features"), readers):
        typer.echo(name)


@features.command(epilog="Example: cascade features materialize --set feature_store.online=redis")
def materialize(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    verbose: Verbose = False,
) -> None:
    """Make the online store equal to the newest offline features.

    Events that were pushed after these were made stay, and so do columns that only a live release reads.
    """
    from ..pipeline.stages import find
    from ..rollout.releases.live_readers import live_readers
    from ..workflows.features.store import materialize

    merged = load(config, sets)
    readers = live_readers(merged.export, merged.feature_store)
    for name, rows in materialize(merged.feature_store, find(merged, runs, "features"), readers).items():
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
    runs: Runs = RUNS,
    verbose: Verbose = False,
) -> None:
    """Add items to a user's history.

    The next recommendation takes them into account, without any training. A warning names items that the catalogue of
    the last run lacks: they are kept, and until a run knows them count as an item that nobody knows.
    """
    from ..workflows.features.store import push_history

    merged = load(config, sets)
    history = push_history(merged.feature_store, user, item, time or None)
    for unknown in _unknown_items(merged, runs, item):
        typer.echo(
            f"item {unknown}: is not in the catalogue; until a run knows it, it counts in the history as an item that "
            "nobody knows",
            err=True,
        )
    items = "1 item" if len(history) == 1 else f"{len(history)} items, most recent first"
    typer.echo(f"user {user}: the history holds {items}: {_start(history)}")


def _unknown_items(config: PipelineConfig, runs: Path, items: list[str]) -> list[str]:
    """Those of ``items`` that the catalogue of the data artifact lacks; none if there is no artifact to ask."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from ..core.errors import ConfigError
    from ..pipeline.stages import find
    from ..workflows.tables.ids import id_columns

    try:
        known = id_columns(find(config, runs, "data").path)[1]
    except ConfigError:  # a machine that has the feature store need not have the artifacts
        return []
    rows = pa.array([int(item) if pa.types.is_integer(known.type) else item for item in items], known.type)
    return [item for item, found in zip(items, pc.is_in(rows, value_set=known).to_pylist(), strict=True) if not found]


def _start(values: list[Any]) -> str:
    shown = ", ".join(map(str, values[:5]))
    return f"{shown}, ..." if len(values) > 5 else shown
