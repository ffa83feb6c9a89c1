"""``cascade index``: other items, the same models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, print_json
from .release import TIMEOUT_S, Force, Reason, Timeout, check_passed, check_reason, places, tell, verified

if TYPE_CHECKING:
    from ..config.pipeline import PipelineConfig
    from ..rollout.refresh.refresh import Refreshed, WantedItems
    from ..rollout.releases.live_set import LiveSet
    from ..rollout.releases.promotion import Switch
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
        str, typer.Option(help="The only release to refresh; see `cascade release list`. Default: all that are asked.")
    ] = "",
    promote: Annotated[bool, typer.Option("--promote/--no-promote", help="Have them answer.")] = True,
    reason: Reason = "",
    force: Force = False,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Renew the items of all releases that answer or are asked.

    These are the stable one, a canary, arms and shadows. New releases are made with other items and the same models:
    new and changed items get their vectors from the item towers. Each is kept and judged against the release that it is
    made from, as by `cascade release verify`. If all pass, all take the places of these at once; exit codes are those
    of `cascade release promote`. If no item has changed, nothing happens.

    If items are named with --remove, the previous release is renewed as well and stays the previous one, so that a
    rollback does not bring them back.
    """
    from ..rollout.refresh.refresh import WantedItems
    from ..rollout.releases.keep import remove_oldest
    from .text.gates import EXIT_CODES, report_text
    from .text.release import marks, refreshed_text, rollback_note

    check_reason(force, reason)
    os.nice(NICENESS)
    settings, (store, live_sets) = load(config, sets), places(config, sets)
    wanted, live = WantedItems(items, add, remove), live_sets.read()
    sources = _sources(store, live, release, wanted)
    roles = {source: marks(source, live, None) for source in sources}
    done = _refreshed(store, sources, settings, roles)
    if not as_json:
        for each in done:
            typer.echo(refreshed_text(each, roles[each.source]))
    found: dict[str, Any] = {"refreshed": [asdict(each) for each in done], "gates": []}
    made = [each for each in done if each.release]
    if made:
        remove_oldest(store, settings.rollout, least=len(made))
    reports = [
        verified(config, sets, runs, each.release, against)
        for each in made
        if each.release and (against := _against(each, live, release)) is not None
    ]
    found["gates"] = [report.to_json() for report in reports]
    if made and promote:
        for report in reports:
            check_passed(report, force, ("promoted", "promotes"))
        switch = _switch(store, live, done, wanted, bool(release), _why(done, reason), timeout, found["gates"])
        if not as_json and (note := rollback_note(live, switch.live, done[0])):
            typer.echo(note)
        tell(switch, as_json, reports, found)
    if as_json:
        print_json(found)
    else:
        for report in reports:
            typer.echo(report_text(report))
    states = {report.state for report in reports}
    raise typer.Exit(next((EXIT_CODES[state] for state in ("fail", "inconclusive") if state in states), 0))


def _sources(store: ReleaseStore, live: LiveSet | None, named: str, wanted: WantedItems) -> dict[str, WantedItems]:
    """The releases to refresh, the stable one first, and with which items."""
    from ..core.errors import ReleaseError
    from ..rollout.refresh.refresh import WantedItems

    if named:
        return {store.find(named): wanted}
    if live is None:
        if (published := store.published()) is None:
            raise ReleaseError(f"{store.place}: there is no release to refresh; `cascade run` makes one")
        return {store.find(published): wanted}
    found = dict.fromkeys(live.asked, wanted)
    if live.previous and wanted.remove:
        found.setdefault(live.previous, WantedItems(remove=wanted.remove))
    return found


def _refreshed(
    store: ReleaseStore,
    sources: Mapping[str, WantedItems],
    settings: PipelineConfig,
    roles: Mapping[str, Sequence[str]],
) -> list[Refreshed]:
    """Refresh each release. An error says which of several it is about."""
    from ..core.errors import CascadeError
    from ..rollout.refresh.refresh import refresh

    done = []
    for source, wanted in sources.items():
        try:
            done.append(refresh(store, source, wanted, settings.data, settings.etl.text))
        except CascadeError as error:
            if len(sources) == 1:
                raise
            raise type(error)(f"release {source} ({', '.join(roles[source])}): {error}") from error
    return done


def _against(done: Refreshed, live: LiveSet | None, named: str) -> str | None:
    """The release that a refreshed one is compared with; empty for the stable one, None if it is not judged.

    The previous release is not: it has answered before.
    """
    if live is None or done.source in live.asked:
        return done.source
    return "" if named else None


def _switch(
    store: ReleaseStore,
    live: LiveSet | None,
    done: Sequence[Refreshed],
    wanted: WantedItems,
    one: bool,
    reason: str,
    timeout: float,
    gates: Sequence[Mapping[str, Any]],
) -> Switch:
    """Let the refreshed releases take the places of those that they are made from, or promote the only one."""
    from ..rollout.releases.promotion import promote, renew

    if live is None or (one and done[0].source not in live.asked):
        return promote(store, done[0].release or "", reason, timeout, gates[0])
    renewed = {each: each for each in live.asked} if one else {}
    renewed |= {each.source: each.release or each.source for each in done}
    figures = {"gates": gates}
    if one:
        return renew(store, renewed, reason, timeout, figures, with_previous=False, action="refresh one")
    return renew(store, renewed, reason, timeout, figures, with_previous=wanted.remove is not None)


def _why(done: Sequence[Refreshed], reason: str) -> str:
    """What the audit log says."""
    counts = "; ".join(
        f"items of {each.source}: {each.new:,} new, {each.changed:,} changed, {each.removed:,} removed" for each in done
    )
    return f"{reason} ({counts})" if reason else counts
