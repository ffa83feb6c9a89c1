"""``cascade release stop``: the stable release answers everybody again."""

from __future__ import annotations

from ..options import NONE, PIPELINE, ConfigFile, Sets, Verbose
from ..release import Reason, places


def stop(reason: Reason = "", config: ConfigFile = PIPELINE, sets: Sets = NONE, verbose: Verbose = False) -> None:
    """End the canary or the A/B test at once.

    Shadows go on; `cascade release shadow --off` ends them.
    """
    import typer

    from ...rollout.releases.arms import stop_arms

    live = stop_arms(places(config, sets)[0], reason)
    typer.echo(f"release {live.stable} answers everybody (generation {live.generation})")
