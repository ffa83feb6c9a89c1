"""``cascade serve``: the exported model in Triton Inference Server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import NONE, PIPELINE, ConfigFile, Sets, Verbose, load


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
    """Serve the exported model with Triton until SIGINT or SIGTERM."""
    from ..ensemble.server.serve import serve

    flags = {"host": host, "http_port": http_port, "grpc_port": grpc_port, "metrics_port": metrics_port}
    given = [f"server.{name}={value}" for name, value in flags.items() if value is not None]
    merged = load(config, [*sets, *given])
    serve(
        merged.server,
        repository=Path(merged.export.repository),
        model=merged.export.model_name,
        feature_repo=Path(merged.feature_store.repo),
        redis=merged.feature_store.connection,
    )
