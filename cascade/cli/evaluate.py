"""``cascade evaluate``: offline metrics of the served graph, or of another policy from a log."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import ConfigError
from .options import NONE, PIPELINE, RUNS, AsJson, ConfigFile, Runs, Sets, Verbose, has_config, load, print_json
from .run import run_stages

if TYPE_CHECKING:
    from ..evaluation.config import EvaluationConfig


def evaluate(
    config: ConfigFile = PIPELINE,
    sets: Sets = NONE,
    runs: Runs = RUNS,
    force: Annotated[bool, typer.Option("--force", help="Evaluate again even if nothing has changed.")] = False,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Estimate the reward of another reranking policy instead, from a log in Parquet or CSV with the "
            "columns propensity, new_propensity, reward and, optionally, user_id.",
        ),
    ] = None,
    clip: Annotated[
        float | None,
        typer.Option(help="Larger importance weights are cut to this. Only with --policy.", min=0),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Measure the served graph and the baselines on the test part.

    Stages that the evaluation needs and that are not up to date run first.
    """
    from .text.evaluation import estimate_policy, policy_table, whole_text

    if policy is not None:
        found: Mapping[str, Any] = estimate_policy(policy, clip, _section(config, sets))
        text = policy_table(found)
    elif clip is not None:
        raise ConfigError("--clip: needs --policy FILE")
    else:
        artifact = run_stages(load(config, sets), runs, ["evaluation"], force)["evaluation"]
        found = artifact.metrics
        text = whole_text(artifact)
    if as_json:
        print_json(found)
    else:
        typer.echo(text)


def _section(file: Path, sets: list[str]) -> EvaluationConfig:
    """The section ``evaluation``, which a policy log needs only; a folder without pipeline.yaml has the defaults."""
    from ..config.load import config_of
    from ..config.sources import read_sets

    if has_config(file):
        return load(file, sets).evaluation
    given = {".".join(path): value for path, value, _ in read_sets(sets)}
    return config_of(None, {"schema.sparse": ["user_id", "item_id"], **given}).evaluation
