"""``cascade ab``: several releases answer a share of the users each, and are compared by what users do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import NONE, PIPELINE, AsJson, ConfigFile, Sets, Verbose, load, print_json
from ..release import Reason, places
from ..text.quantities import percent, share_of

if TYPE_CHECKING:
    from ...rollout.releases.live_set import Arm
    from ...rollout.releases.store import ReleaseStore

ab = typer.Typer(
    help="Compare releases on users. Example: cascade ab status",
    rich_markup_mode=None,
    no_args_is_help=True,
)


@ab.command(epilog="Example: cascade ab start --arm diverse=3414:10 --arm fresh=9c01:10")
def start(
    arm: Annotated[
        list[str],
        typer.Option(metavar="NAME=RELEASE:SHARE", help="Name, release and percentage of an arm. Repeatable."),
    ],
    reason: Reason = "",
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    verbose: Verbose = False,
) -> None:
    """Begin an A/B test beside the stable release, or change its shares.

    The releases' gates are not asked; ask `cascade release verify` first.
    """
    from ...rollout.releases.arms import start_arms

    store, _ = places(config, sets)
    live = start_arms(store, [_arm(text, store) for text in arm], reason)
    for each in live.arms:
        typer.echo(f"{each.name}: release {each.release} answers {percent(each.share)} of the users")
    rest = 1 - sum(each.share for each in live.arms)
    typer.echo(f"stable: release {live.stable} answers {percent(max(rest, 0.0))} (generation {live.generation})")


@ab.command(epilog="Example: cascade ab status --json")
def status(config: ConfigFile = PIPELINE, sets: Sets = NONE, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show the arms: users, metrics with intervals, the decision and why.

    Only what came since the shares were set counts. If none runs, the last one is shown.
    """
    from ...rollout.outcomes.experiment import experiment_status
    from ..text.experiment import status_text

    found = experiment_status(places(config, sets)[1], load(config, sets).rollout.outcomes)
    if as_json:
        print_json(found and found.to_json())
    else:
        typer.echo(status_text(found) if found else "there was no canary and no A/B test yet; `cascade ab start`")


@ab.command(epilog="Example: cascade ab stop --reason 'decided'")
def stop(reason: Reason = "", config: ConfigFile = PIPELINE, sets: Sets = NONE, verbose: Verbose = False) -> None:
    """End the A/B test or the canary at once, as `cascade release stop` does."""
    from .stop import stop

    stop(reason, config, sets)


def _arm(text: str, store: ReleaseStore) -> Arm:
    """The arm that an option names.

    Raises:
        ConfigError: it is written otherwise.
        ReleaseError: there is no such release.
    """
    from ...core.errors import ConfigError
    from ...ensemble.protocol.arms import CANARY
    from ...rollout.releases.live_set import Arm

    name, equals, rest = text.partition("=")
    release, colon, share = rest.rpartition(":")
    if not (name and equals and release and colon):
        raise ConfigError(f"--arm: expected NAME=RELEASE:SHARE such as fresh=3414:10, got {text!r}")
    if not re.fullmatch(r"[\w.-]{1,40}", name):  # it labels metrics, and is a word of the output
        raise ConfigError(f"--arm: expected a name of 1 to 40 letters, digits, _ . or -, got {name!r}")
    if name == CANARY:
        raise ConfigError(f"--arm: expected another name than {CANARY}; `cascade release canary` starts one")
    return Arm(name, store.find(release), share_of(share, f"--arm {name}"))
