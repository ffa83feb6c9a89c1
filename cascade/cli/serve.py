"""``cascade serve``: the exported model in Triton Inference Server; ``cascade reload``: the next one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import NONE, PIPELINE, ConfigFile, Sets, Verbose, load

_SECTIONS = ("server", "export", "feature_store")
"""Of the config, that `cascade serve` reads."""


def serve(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: server.host of the config.")] = None,
    http_port: Annotated[
        int | None, typer.Option(help="HTTP port; 0 takes a free one. Default: server.http_port of the config.")
    ] = None,
    grpc_port: Annotated[
        int | None, typer.Option(help="gRPC port; 0 takes a free one. Default: server.grpc_port of the config.")
    ] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(help="Port of the metrics; 0 takes a free one. Default: server.metrics_port of the config."),
    ] = None,
    verbose: Verbose = False,
) -> None:
    """Serve the stable release with Triton until SIGINT or SIGTERM.

    At the first start, that is what is exported.
    ``cascade reload``, or SIGHUP, makes what is exported then the stable release. ``cascade release promote`` takes
    any that is kept, and ``cascade release rollback`` the one before.
    """
    from ..ensemble.server.serve import serve
    from ..ensemble.server.server import TritonServer
    from ..rollout.canary.watch import ReleaseWatch, WatchedServer
    from ..rollout.releases.follow import Follower, first_release

    flags = {"host": host, "http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    given = [f"server.{name}={value}" for name, value in flags.items() if value is not None]
    merged = load(config, [*sets, *given])
    for key in (text.partition("=")[0] for text in sets):
        if key.partition(".")[0] not in _SECTIONS:
            typer.echo(
                f"warning: --set {key}: is part of a release and not read here; use `cascade run --set`, then "
                "`cascade reload`",
                err=True,
            )
    repository, model = Path(merged.export.repository), merged.export.model_name

    def attend(server: TritonServer) -> Follower:
        sources = WatchedServer(lambda: server.metrics_url, server.counts)
        return Follower(server, ReleaseWatch(sources, merged.rollout.watch))

    serve(
        merged.server,
        repository=repository,
        model=model,
        attend=attend,
        first=first_release(repository, model),
        feature_repo=Path(merged.feature_store.repo),
        redis=merged.feature_store.connection,
    )


def reload(config: ConfigFile = PIPELINE, sets: Sets = NONE, verbose: Verbose = False) -> None:
    """Have the running ``cascade serve`` load the release that is exported now.

    If it cannot be loaded or does not answer, the release that was live goes on.
    """
    from ..ensemble.server.releases.reload import reload
    from ..rollout.releases.live_set import LiveSets
    from .text.quantities import percent

    merged = load(config, sets)
    repository, model = Path(merged.export.repository), merged.export.model_name
    before = LiveSets(repository, model).read()
    for release in reload(repository, model):
        typer.echo(f"live: model {model}, release {release}")
    after = LiveSets(repository, model).read()
    if before and after and before.stable != after.stable:
        for arm in before.arms:
            typer.echo(f"ended: {arm.name}, release {arm.release} at {percent(arm.share)}")
        typer.echo("no gate was asked, and items that were taken off may be back; `cascade release promote` asks gates")
