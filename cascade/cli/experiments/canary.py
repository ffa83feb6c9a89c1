"""``cascade release canary``: a release answers a few users, then more, while gates watch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ..options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, load, print_json
from ..release import Reason, Release, check_passed, check_reason, places, verified
from ..text.quantities import duration, percent, seconds_of, share_of, shares_of

if TYPE_CHECKING:
    from ...rollout.canary.live_canary import LiveCanary
    from ...rollout.canary.ramp import Look, RampEnd, RampPlan
    from ...rollout.config import RolloutConfig
    from ...rollout.gates.verdict import GateVerdict
    from ...rollout.releases.store import ReleaseStore

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it."""
EXIT_CODES = {"promoted": 0, "set": 0, "rolled back": 1, "held": 3}
START_S = 120.0
_LOOK_S = 0.1
_EVERY = "10m"


def canary(
    which: Release,
    share: Annotated[str, typer.Option(help="One step: so many percent of the users, e.g. 5.")] = "",
    ramp: Annotated[str, typer.Option(help="Several steps, in percent; 100 promotes; e.g. 1,5,25,50,100.")] = "",
    every: Annotated[
        str,
        typer.Option(help="Least time of a step, e.g. 90s, 10m, 2h. Default: 10m for --ramp; --share only sets it."),
    ] = "",
    wait: Annotated[
        str, typer.Option(help="How long a step may hold after its end. Default: for as long as it takes.")
    ] = "",
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Start whatever the gates say; needs a reason.")] = False,
    timeout: Annotated[
        float, typer.Option(min=0, help="How long running servers have to answer with the canary. Unit: seconds.")
    ] = START_S,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Have a release answer some of the users, and more of them step by step.

    It is judged first, as by `cascade release verify`. In each step its users' answers are compared with those of the
    stable release's users. If a gate fails, the canary ends at once. If all pass at the end of a step, the next one
    begins. If that cannot be told yet, the step goes on. The same command continues a canary from its share.

    Exit code 0: promoted, or the last share is set. 1: rolled back. 3: held.
    """
    from ...rollout.canary.ramp import RampPlan
    from ...rollout.releases.arms import check_not_stable

    if bool(share) == bool(ramp):
        from ...core.errors import ConfigError

        raise ConfigError("expected either --share 5, for one step, or --ramp 1,5,25,50,100")
    shares = shares_of(ramp, "--ramp") if ramp else [share_of(share, "--share")]
    length = seconds_of(every or _EVERY, "--every")
    longest = seconds_of(wait, "--wait") if wait else None
    settings, (store, live_sets) = load(config, sets).rollout, places(config, sets)
    found = store.find(which)
    subject = _subject(store, found, reason, settings, timeout)
    now = subject.share
    if now is None:
        check_reason(force, reason)
        check_not_stable(live_sets.read(), found)
        check_passed(verified(config, sets, runs, which), force, ("started", "starts"))
    if share and not every and shares[0] < 1:
        _set_by_hand(subject, shares[0], timeout, as_json)
    plan = RampPlan(shares, length, settings.canary.look_s, timeout, longest)
    _climb(subject, plan if share or now is None else plan.from_share(now), as_json)


def _climb(subject: LiveCanary, plan: RampPlan, as_json: bool) -> None:
    """Take the steps, print each look, and exit."""
    from ...rollout.canary.ramp import Ramp

    def tell(look: Look) -> None:
        typer.echo(look_line(look), err=as_json)

    try:
        end = Ramp(subject, plan, tell).run()
    except KeyboardInterrupt:
        share = subject.share
        left = "there is no canary now" if share is None else f"the canary keeps {percent(share)} of the users"
        typer.echo(f"interrupted: {left}; the same command continues, `cascade release stop` ends the canary", err=True)
        raise typer.Exit(INTERRUPTED) from None
    _tell(end, subject.share, as_json)


def _set_by_hand(subject: LiveCanary, share: float, timeout: float, as_json: bool) -> None:
    """Set one share, wait until the servers answer with the canary, and exit."""
    from ...rollout.canary.ramp import RampEnd

    subject.set_share(share)
    deadline = time.monotonic() + timeout
    while (why := subject.silent()) and subject.has_servers() and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
    late = bool(why) and subject.has_servers()
    told = why or "the running servers answer with it"
    _tell(RampEnd("held" if late else "set", told), share, as_json)


def look_line(look: Look) -> str:
    """One look as a line: time, share, length of the window, what the gates say."""
    state = "hold" if look.state == "inconclusive" else look.state
    clock = f"{datetime.now(UTC):%H:%M:%S}"
    return f"{clock}  {percent(look.share):>6}  {duration(look.seconds):>10}  {state:<4}  {look.text}"


def _tell(end: RampEnd, share: float | None, as_json: bool) -> None:
    """Print how it ended, and exit."""
    if as_json:
        print_json({"outcome": end.outcome, "share": share, "reason": end.reason, "gates": end.figures})
    else:
        left = f" (the canary has {percent(share)} of the users)" if share is not None else ""
        typer.echo(f"{end.outcome}: {end.reason}{left}")
    raise typer.Exit(EXIT_CODES[end.outcome])


def _subject(store: ReleaseStore, release: str, reason: str, config: RolloutConfig, timeout: float) -> LiveCanary:
    from ...rollout.canary.live_canary import LiveCanary
    from ...rollout.outcomes.canary_gate import outcome_verdicts
    from ...rollout.releases.live_set import LiveSet, LiveSets

    sets = LiveSets(store.repository, store.model)

    def outcomes(live: LiveSet) -> Sequence[GateVerdict]:
        return outcome_verdicts(sets, live, config.outcomes)

    return LiveCanary(store, release, reason, config.canary, timeout, outcomes)
