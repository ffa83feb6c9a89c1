"""``cascade recommend``: one request to a running server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import RequestError
from .options import NONE, PIPELINE, AsJson, ConfigFile, Sets, Verbose, has_config, load, print_json


def recommend(
    user: Annotated[list[str], typer.Option(help="User id as in the source data. Repeatable.")],
    top_k: Annotated[
        int | None, typer.Option(help="Items for each user. Default: serving.rerank.k of the exported model.")
    ] = None,
    context: Annotated[
        list[str], typer.Option(metavar="COLUMN=VALUE", help="Value of a context column, e.g. hour=20. Repeatable.")
    ] = NONE,
    exclude: Annotated[list[str], typer.Option(help="Id of an item that must not be recommended. Repeatable.")] = NONE,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Sampling temperature; 0 sorts by score. Default: serving.rerank.temperature of the exported model."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed that makes sampling repeatable.")] = None,
    url: Annotated[
        str | None,
        typer.Option(help="host:port of the server's gRPC endpoint. Default: server.host and grpc_port of the config."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Name of the model. Default: export.model_name of the config; with --url and no config, cascade."
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Longest time that the request may take, seconds.")] = 10.0,
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Ask a running server for recommendations."""
    from ..ensemble.client import Client
    from .text.answer import answer_notes, answer_table

    with Client(*address(url, model, config, sets), timeout) as client:
        answers = client.recommend(
            user,
            top_k=top_k,
            context=parse_context(context),
            exclude=exclude,
            temperature=temperature,
            seed=seed,
        )
    if as_json:
        shown = [answer.to_json() for answer in answers]
        print_json(shown if len(shown) > 1 else shown[0])
        return
    for answer in answers:
        typer.echo(f"user {answer.user_id}\n{answer_table(answer)}\n{answer_notes(answer)}\n")


def address(url: str | None, model: str | None, config: Path, sets: list[str]) -> tuple[str, str]:
    """The server's host:port and the name of its model: what was given, else what the config says."""
    from ..ensemble.config import ExportConfig

    if url is not None and (model is not None or not has_config(config)):
        return url, model or ExportConfig().model_name
    merged = load(config, sets)
    return url or f"{merged.server.host}:{merged.server.grpc_port}", model or merged.export.model_name


def parse_context(texts: list[str]) -> dict[str, str]:
    """Column -> value of ``COLUMN=VALUE`` texts.

    Raises:
        RequestError: a text is not of that form.
    """
    context = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise RequestError(f"--context {text}: expected COLUMN=VALUE, e.g. --context hour=20")
        context[name] = value
    return context
