"""``cascade index``: other items, the same models."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, print_json
from .release import TIMEOUT_S, Force, Reason, Timeout, check_reason, places, promote_judged, verified

if TYPE_CHECKING:
    from ..rollout.refresh.refresh import Refreshed
    from ..rollout.releases.live_set import LiveSets
    from ..rollout.releases.store import ReleaseStore

index = typer.Typer(
    help="Renew the items of a release without training. Example: cascade index refresh --items items.parquet",
    rich_markup_mode=None,
    no_args_is_help=True,
)
NICENESS = 10
"""A refresh takes the cores that the servers of this machine leave."""


@index.callback()
def group() -> None:
    pass


@index.command(epilog="Example: cascade index refresh --add new-items.csv --remove sold-out.csv")
def refresh(
    items: Annotated[
        Path | None,
        typer.Option(
            help="Parquet or CSV file with all items, in the columns of the training; what is not in it is taken off. "
            "Default: the items of data.source.",
            show_default=False,
        ),
    ] = None,
    add: Annotated[
        Path | None, typer.Option(help="The same with new and changed items only; the others stay.", show_default=False)
    ] = None,
    remove: Annotated[
        Path | None,
        typer.Option(help="File with the ids of items to take off, in a column item_id.", show_default=False),
    ] = None,
    release: Annotated[
        str, typer.Option(help="The release to refresh, in place of the stable one; see `cascade release list`.")
    ] = "",
    promote: Annotated[bool, typer.Option("--promote/--no-promote", help="Make it the one that answers.")] = True,
    reason: Reason = "",
    force: Force = False,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a release with other items and the same models, and promote it.

    New and changed items get their vectors from the item tower of the stable release. The new release is kept and
    judged, as by `cascade release verify`, and promoted, as by `cascade release promote`, whose exit codes tell why it
    is not. If no item has changed, nothing happens.
    """
    from ..rollout.refresh.refresh import WantedItems
    from ..rollout.refresh.refresh import refresh as refreshed
    from ..rollout.releases.keep import remove_oldest
    from .text.gates import EXIT_CODES, report_text
    from .text.release import refreshed_text

    check_reason(force, reason)
    os.nice(NICENESS)
    settings, (store, live_sets) = load(config, sets), places(config, sets)
    wanted = WantedItems(items, add, remove)
    done = refreshed(store, _source(store, live_sets, release), wanted, settings.data, settings.etl.text)
    if not as_json:
        typer.echo(refreshed_text(done))
    if done.release is None:
        if as_json:
            print_json(asdict(done))
        return
    remove_oldest(store, settings.rollout)
    report = verified(config, sets, runs, done.release, "" if live_sets.read() else done.source)
    if promote:
        promote_judged(store, report, _why(done, reason), force, timeout, as_json)
    if as_json:
        print_json({**asdict(done), "gates": report.to_json()})
    else:
        typer.echo(report_text(report))
    raise typer.Exit(EXIT_CODES[report.state])


def _source(store: ReleaseStore, live_sets: LiveSets, named: str) -> str:
    """The release to refresh: the named one, else the stable one, else the published one."""
    from ..core.errors import ReleaseError

    if named:
        return store.find(named)
    live = live_sets.read()
    found = live.stable if live else store.published()
    if found is None:
        raise ReleaseError(f"{store.place}: there is no release to refresh; `cascade run` makes one")
    return store.find(found)


def _why(done: Refreshed, reason: str) -> str:
    """What the audit log says."""
    counts = f"items of {done.source}: {done.new:,} new, {done.changed:,} changed, {done.removed:,} removed"
    return f"{reason} ({counts})" if reason else counts
