"""``cascade data``: public data sets as the three tables that a pipeline reads."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

data = typer.Typer(
    help="Fetch public data sets. Example: cascade data fetch movielens-1m",
    rich_markup_mode=None,
    no_args_is_help=True,
)
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


@data.command("list", epilog="Example: cascade data list")
def list_datasets() -> None:
    """List the public data sets that can be fetched."""
    from ..workflows.datasets import DATASETS

    for dataset in DATASETS.values():
        typer.echo(f"{dataset.name}\n  {dataset.title}\n  {dataset.licence}\n  {dataset.homepage}")


@data.command(epilog="Example: cascade data fetch movielens-1m --out data/ml-1m")
def fetch(
    name: Annotated[str, typer.Argument(help="Name of the data set, see `cascade data list`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables. Default: data/NAME.", show_default=False)
    ] = None,
    archive: Annotated[
        list[Path] | None,
        typer.Option(help="Path of an original file that was downloaded before, under its own name. Repeatable."),
    ] = None,
    since: Annotated[datetime | None, typer.Option(formats=TIMES, help="Leave out earlier interactions (UTC).")] = None,
    before: Annotated[
        datetime | None, typer.Option(formats=TIMES, help="Leave out interactions from this time on (UTC).")
    ] = None,
) -> None:
    """Download a public data set and write it as tables.

    The files come from the owner of the data set and are checked. Interactions, users and items are written as Parquet.
    """
    from ..core.errors import ConfigError
    from ..core.suggest import nearest
    from ..workflows.datasets import DATASETS
    from ..workflows.datasets.fetch import fetch

    if name not in DATASETS:
        raise ConfigError(f"data set {name}: no such public data set; {nearest(name, [*DATASETS])}")
    dataset, folder = DATASETS[name], out or Path("data") / name
    typer.echo(f"{dataset.title}\nlicence: {dataset.licence}\nread on: {dataset.homepage}", err=True)
    for table, rows in fetch(dataset, folder, archive or (), _utc(since), _utc(before)).items():
        typer.echo(f"{folder / table}.parquet: {rows:,} rows")


def _utc(time: datetime | None) -> datetime | None:
    return time and time.replace(tzinfo=UTC)
