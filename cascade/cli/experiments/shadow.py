"""``cascade release shadow``: a release is asked beside the stable one, and answers nobody."""

from __future__ import annotations

from typing import Annotated

import typer

from ..options import NONE, PIPELINE, ConfigFile, Sets, Verbose
from ..release import Reason, places
from ..text.quantities import percent, share_of

NAME = "shadow"


def shadow(
    which: Annotated[str, typer.Argument(help="Id of a release, or its beginning; none with --off.")] = "",
    share: Annotated[str, typer.Option(help="So many percent of the requests.")] = "10",
    off: Annotated[bool, typer.Option("--off", help="Ask no shadow any more.")] = False,
    reason: Reason = "",
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    verbose: Verbose = False,
) -> None:
    """Ask a release a share of the requests, after the client has its answer.

    Its answers reach nobody; they are compared with those of the stable release.
    """
    from ...core.errors import ConfigError
    from ...rollout.releases.arms import set_shadows
    from ...rollout.releases.live_set import Arm

    if bool(which) == off:
        raise ConfigError("expected either a release, e.g. `cascade release shadow 3414`, or --off")
    store, _ = places(config, sets)
    shadows = [] if off else [Arm(NAME, store.find(which), share_of(share, "--share"))]
    live = set_shadows(store, shadows, reason)
    told = [f"release {each.release} is asked {percent(each.share)} of the requests" for each in live.shadows]
    typer.echo(f"{'; '.join(told) or 'no shadow is asked'} (generation {live.generation})")
