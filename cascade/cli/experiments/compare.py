"""``cascade release compare``: how the answers of a shadow differ from those that users get."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..options import NONE, PIPELINE, AsJson, ConfigFile, Sets, Verbose, print_json
from ..release import places

if TYPE_CHECKING:
    from ...rollout.canary.shadow_figures import ShadowFigures


def compare(
    config: ConfigFile = PIPELINE, sets: Sets = NONE, as_json: AsJson = False, verbose: Verbose = False
) -> None:
    """Show how the answers of the shadows differ from those that users get.

    All that was counted since the servers were started is added up. The exit code is 1 while no shadow has answered.
    """
    from ...core.errors import ReleaseError
    from ...ensemble.server.releases.running_servers import servers_of
    from ...ensemble.server.status import ServerStatus
    from ...rollout.canary.scrape import scrape
    from ...rollout.canary.shadow_figures import ShadowFigures

    store, live_sets = places(config, sets)
    live = live_sets.read()
    if live is None or not live.shadows:
        raise ReleaseError(f"model {store.model}: no shadow is asked; `cascade release shadow RELEASE` begins")
    urls = [ServerStatus.read(Path(each.status_file)).metrics_url for each in servers_of(store.repository, store.model)]
    counters = {}
    for url in filter(None, urls):
        try:
            counters.update(scrape(url))
        except OSError as error:
            raise ReleaseError(f"{url}: {error}; are the metrics turned off, or the server stopped?") from error
    found = {shadow.release: ShadowFigures.of(counters, shadow.release) for shadow in live.shadows}
    if as_json:
        print_json({release: figures.to_json() for release, figures in found.items()})
    else:
        typer.echo("\n\n".join(_text(live.stable, release, figures) for release, figures in found.items()))
    raise typer.Exit(0 if all(figures.users for figures in found.values()) else 1)


def _text(stable: str, release: str, figures: ShadowFigures) -> str:
    from ...core.text_table import table

    asked = ", ".join(f"{count:,.0f} {outcome}" for outcome, count in figures.requests.items())
    lines = [f"shadow {release} beside {stable}; requests: {asked}"]
    if figures.users:
        head = ("users", "number", "overlap", "rank-biased overlap", "best score", "other reasons")
        rows = [
            (
                who,
                f"{each.users:,.0f}",
                f"{each.overlap:.3f}",
                f"{each.rank_biased_overlap:.3f}",
                f"{each.top_score_change:+.4f}",
                f"{each.other_reasons:.1%}",
            )
            for who, each in figures.users.items()
        ]
        lines += ["", table(head, rows), ""]
        times = [(stage, f"{own:.2f}", f"{other:.2f}") for stage, (own, other) in figures.stages.items()]
        lines.append(table(("stage, ms per pass", stable, release), times))
    return "\n".join(lines)
