"""``cascade release``: the releases that are kept, and which of them answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, load_export, print_json

if TYPE_CHECKING:
    from ..rollout.gates.verdict import GateReport
    from ..rollout.releases.live_set import LiveSets
    from ..rollout.releases.promotion import Switch
    from ..rollout.releases.store import ReleaseStore

release = typer.Typer(
    help="Manage the releases that are kept. Example: cascade release promote 3414",
    rich_markup_mode=None,
    no_args_is_help=True,
)
Release = Annotated[str, typer.Argument(help="Id of a release, or its beginning; see `cascade release list`.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit log.")]
Force = Annotated[bool, typer.Option("--force", help="Promote it whatever the gates say; needs a reason.")]
Timeout = Annotated[float, typer.Option(min=0, help="How long running servers have to take it. Unit: seconds.")]
TIMEOUT_S = 10.0


@release.command("list", epilog="Example: cascade release list --json")
def list_releases(
    config: ConfigFile = PIPELINE, sets: Sets = NONE, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """List the releases that are kept, the newest first.

    stable: the one that answers. canary, or the name of an arm: answers a share of the users. shadow: is asked a share
    of the requests and answers nobody. previous: the one that a rollback brings back. published: the one in the
    model repository itself, for plain Triton.
    """
    from .text.release import marks, releases_table

    store, live_sets = places(config, sets)
    found, live, published = store.releases(), live_sets.read(), store.published()
    marked = {each.id: marks(each.id, live, published) for each in found}
    if as_json:
        print_json([{**asdict(each), "marks": marked[each.id]} for each in found])
    else:
        typer.echo(releases_table(found, marked) if found else f"{store.place}: no releases; `cascade run` keeps one")


@release.command(epilog="Example: cascade release show 3414")
def show(
    which: Release,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show a release: its parts, notices and folder."""
    from .text.release import marks, release_text

    store, live_sets = places(config, sets)
    found = store.read(store.find(which))
    marked, folder = marks(found.id, live_sets.read(), store.published()), store.folder(found.id)
    if as_json:
        print_json({**asdict(found), "marks": marked, "folder": folder})
    else:
        typer.echo(release_text(found, marked, folder))


@release.command(epilog="Example: cascade release diff 3414 9c01")
def diff(
    first: Release,
    second: Release,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Show how the second release differs from the first.

    In parts, settings of `serving`, notices, size and items; what is equal is left out.
    """
    from ..rollout.releases.difference import difference
    from .text.release import difference_text

    store, _ = places(config, sets)
    one, other = store.find(first), store.find(second)
    found = difference(store, one, other)
    if as_json:
        print_json({"first": one, "second": other, **asdict(found)})
    else:
        typer.echo(difference_text(one, other, found))


@release.command(epilog="Example: cascade release verify 3414 --json")
def verify(
    which: Release,
    against: Annotated[str, typer.Option(help="The release to compare with, in place of the stable one.")] = "",
    serve: Annotated[
        bool, typer.Option("--serve", help="Start a server of the release, unless one has it, and ask that as well.")
    ] = False,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Judge a release: are its files whole, and is it as good as the one that answers.

    Exit code 0: every gate says pass. 1: one says fail. 3: one is inconclusive, e.g. too few users, and none fails.
    """
    from .text.gates import EXIT_CODES, report_text

    report = verified(config, sets, runs, which, against, serve)
    if as_json:
        print_json(report.to_json())
    else:
        typer.echo(report_text(report))
    raise typer.Exit(EXIT_CODES[report.state])


@release.command(epilog="Example: cascade release retire 3414")
def retire(
    which: Release,
    previous: Annotated[
        bool, typer.Option("--previous", help="It is the previous one: give up the rollback to it.")
    ] = False,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    verbose: Verbose = False,
) -> None:
    """Remove a release from the disk.

    One that is stable, or that a server answers with, stays; so does the previous one without `--previous`.
    """
    from ..rollout.releases.promotion import forget_previous

    store, _ = places(config, sets)
    found = store.find(which)
    if previous:
        store.check_unused(found, as_previous=True)
        forget_previous(store, found)
    store.retire(found)
    typer.echo(f"release {found}: removed")


@release.command(epilog="Example: cascade release history --json")
def history(
    config: ConfigFile = PIPELINE, sets: Sets = NONE, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Show every change of what is live, oldest first.

    If a line of the audit log was changed, removed or cut off, it is named, and the exit code is 1.
    """
    from .text.release import history_table

    _, live_sets = places(config, sets)
    found = live_sets.history()
    if as_json:
        print_json({"changes": [line.to_json() for line in found.lines], "faults": found.faults})
    else:
        typer.echo(history_table(found.lines) if found.lines else f"{live_sets.log.file}: no changes yet")
        for fault in found.faults:
            typer.echo(f"error: {fault}", err=True)
    raise typer.Exit(1 if found.faults else 0)


@release.command(epilog="Example: cascade release promote 3414 --reason 'more clicks in the test'")
def promote(
    which: Release,
    reason: Reason = "",
    force: Force = False,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a release the one that answers, and wait for the running servers.

    It is judged first, as by `cascade release verify`, whose exit codes tell why it is not promoted. If a server cannot
    load it, the one before answers on and is stable again. The exit code is 1 then, and if a server has not loaded it
    in time.
    """
    from ..rollout.releases.arms import check_not_stable

    check_reason(force, reason)
    store, live_sets = places(config, sets)
    check_not_stable(live_sets.read(), store.find(which))  # before gates take their time
    promote_judged(store, verified(config, sets, runs, which), reason, force, timeout, as_json)


@release.command(epilog="Example: cascade release rollback --reason 'fewer clicks since noon'")
def rollback(
    reason: Reason = "",
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make the previous release answer again, and wait for the running servers.

    A second rollback brings the first release back. Exit codes are those of `cascade release promote`.
    """
    from ..rollout.releases.promotion import rollback

    tell(rollback(places(config, sets)[0], reason, timeout), as_json)


def check_reason(force: bool, reason: str) -> None:
    """Raise ConfigError if a release is to be promoted in spite of the gates, without a word."""
    from ..core.errors import ConfigError

    if force and not reason:
        raise ConfigError("--force: expected --reason as well, for the audit log; say why the gates do not count")


def check_passed(report: GateReport, force: bool, verbs: tuple[str, str]) -> None:
    """Exit, with what the gates say, if a release does not pass them and ``force`` is not given.

    Args:
        verbs: what is to be done with it, e.g. ``promoted`` and ``promotes``.
    """
    from .text.gates import EXIT_CODES, report_text

    if report.state != "pass" and not force:
        done, does = verbs
        typer.echo(f"{report_text(report)}\n\nnot {done}; --force --reason '...' {does} it all the same", err=True)
        raise typer.Exit(EXIT_CODES[report.state])


def promote_judged(
    store: ReleaseStore, report: GateReport, reason: str, force: bool, timeout: float, as_json: bool
) -> None:
    """Promote a release if the gates let it pass or ``force`` is given, print what became of it, and exit."""
    from ..rollout.releases.promotion import promote

    check_passed(report, force, ("promoted", "promotes"))
    switch = promote(store, report.candidate, reason, timeout, report.to_json())
    tell(switch, as_json, [report], {"gates": report.to_json()})


def tell(
    switch: Switch, as_json: bool, reports: Sequence[GateReport] = (), further: Mapping[str, Any] | None = None
) -> None:
    """Print what became of a change, and exit.

    Args:
        reports: what the gates said of its releases, for the text.
        further: what else the JSON has.
    """
    from .text.gates import summary
    from .text.release import switch_text

    if as_json:
        servers = [asdict(server) for server in switch.servers]
        live = switch.live and switch.live.shown
        found = {"live": live, "servers": servers, "put_back": switch.put_back, "whole": switch.whole}
        print_json({**found, **(further or {})})
    else:
        for report in reports:
            typer.echo(summary(report))
        typer.echo(switch_text(switch))
    raise typer.Exit(0 if switch.whole else 1)


def verified(
    config: Path, sets: list[str], runs: Path, which: str, against: str = "", serve: bool = False
) -> GateReport:
    """What the gates say of a release, against the release ``against`` or else the stable one.

    Args:
        serve: start a server of the release if none has it.
    """
    from ..rollout.gates.served import ServedReleases
    from ..rollout.gates.users import HeldOutUsers
    from ..rollout.gates.verify import verify

    settings, (store, live_sets) = load(config, sets), places(config, sets)
    found, live = store.find(which), live_sets.read()
    other = store.find(against) if against else live.stable if live else None
    gates, features = settings.rollout.gates, settings.feature_store
    users = HeldOutUsers.of(store, found, runs, settings.evaluation, gates)
    served = ServedReleases(store, Path(features.repo), features.connection, serve)
    return verify(store, found, other, gates, users, served, features)


def places(config: Path, sets: list[str]) -> tuple[ReleaseStore, LiveSets]:
    """The releases of the config's model."""
    from ..rollout.releases.live_set import LiveSets
    from ..rollout.releases.store import ReleaseStore

    export = load_export(config, sets)
    place = Path(export.repository), export.model_name
    return ReleaseStore(*place), LiveSets(*place)
