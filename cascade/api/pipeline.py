"""Running the stages from Python."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..config.pipeline import PipelineConfig
from ..core.artifact import Artifact
from ..core.errors import ConfigError
from .arguments import expect
from .progress import progress_line
from .quiet import quietly

if TYPE_CHECKING:
    from ..pipeline.stages import Progress
    from .frames import Table


def run(
    config: PipelineConfig,
    runs: str | Path = "runs",
    *,
    tables: Mapping[str, Table] | None = None,
    only: str | Sequence[str] | None = None,
    force: bool = False,
    progress: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> dict[str, Artifact]:
    """Run the stages that are not up to date: data, etl, features, two_tower, index, ranker, export, evaluation.

    A stage whose inputs have not changed is found in ``runs`` and not run again. The features are published to the
    feature store (``feature_store.repo``), the export to the model repository (``export.repository``).

    Args:
        config: from `load_config`.
        runs: folder of the artifacts; it is made.
        tables: ``{"interactions": ..., "users": ..., "items": ...}``, the last two optional: DataFrames (pandas or
            polars), Arrow tables, or paths of .parquet or .csv files. They take the place of ``data.source`` and are
            kept in ``runs/tables``, of columns that the config does not use only the names. Without it, the config
            says where the data is.
        only: these stages and what they need, e.g. ``"export"``; default: all.
        force: run the stages of ``only``, or all, although they are up to date.
        progress: write a line when a stage begins and ends, and bars, to stderr. By default nothing is written.
        report: called before and after each stage; see `cascade.pipeline.stages.Progress`.

    Returns:
        Stage name -> artifact: ``path`` of its folder, ``metrics``, ``digest``.

    Raises:
        ConfigError: an argument has another type, there is no such stage, or a value does not fit the data.
        DataError: a table breaks the data convention; the message names table, column and row.
        CascadeError: any other error that a stage names; see `cascade.errors`.

    Example:
        >>> artifacts = cascade.run(config, tables={"interactions": ratings}, only="export")
        >>> artifacts["two_tower"].metrics["epochs"]
    """
    from ..pipeline.stages import run as run_stages
    from .tables import with_tables

    expect("config", config, PipelineConfig, "a PipelineConfig; use cascade.load_config")
    expect("runs", runs, (str, Path), "the path of a folder")
    stages = _stages(only)
    if report is not None and not callable(report):
        raise ConfigError(f"report: expected a function of one argument, got {report!r:.60}")
    folder = _made(Path(runs))
    if tables is not None:
        expect("tables", tables, Mapping, "a mapping with interactions and, optionally, users and items")
        config = with_tables(config, tables, folder)

    def told(step: Progress) -> None:
        if progress:
            print(progress_line(step), file=sys.stderr, flush=True)
        if report is not None:
            report(step)

    with quietly(bars=progress):
        return run_stages(config, folder, stages, force, report=told)


def _made(folder: Path) -> Path:
    """``folder``, which is there now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"runs: {str(folder)!r} cannot be made as a folder: {error}") from error
    return folder


def _stages(only: str | Sequence[str] | None) -> list[str] | None:
    """The stages that ``only`` names; None for all.

    Raises:
        ConfigError: it is no name and no list of names, or an empty list.
    """
    if only is None:
        return None
    expect("only", only, Sequence, "the name of a stage or a list of names")
    names = [only] if isinstance(only, str) else list(only)
    if not names:
        raise ConfigError("only: expected the name of a stage or a list of names, got an empty list")
    for name in names:
        expect("only", name, str, "the name of a stage or a list of names")
    return names
