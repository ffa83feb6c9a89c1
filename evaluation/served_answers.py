"""Runs the test part through the served graph: recommendations for the test users, and scores of logged impressions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .config import EvaluationConfig
from .held_out import HeldOut, LoggedTest
from .impressions import events_of_test
from .ranking import RankedRows
from .replay import Replay, event_columns, rank_logged, replay
from .served_graph import load_before_test, version_folder

if TYPE_CHECKING:
    from ..core.signature import Signature
    from ..ensemble.graph.executor import Executor
    from ..models.training.rows import Events
    from ..workflows.etl.tensors import Tensors


@dataclass(frozen=True)
class ServedAnswers:
    """What the served graph answered on the test part."""

    release: str
    """Id of the release."""
    held_out: HeldOut
    replayed: Replay
    ranked: RankedRows
    """What the ranker is measured on: the logged impressions if it was trained on those, else its candidates."""
    impressions: Events | None
    """The test interactions of ``ranked``, if it holds logged impressions."""


def answer_test_part(
    export: Path,
    features: Path,
    logged: LoggedTest,
    config: EvaluationConfig,
    tensors: Tensors,
    *,
    min_score: float,
    impressions: bool,
) -> ServedAnswers:
    """Run the exported graph with the users of the features artifact, as a server does before anything is pushed.

    Args:
        export: the export artifact.
        features: the features artifact.
        min_score: ``serving.thresholds.min_score``.
        impressions: whether the ranker was trained on logged impressions.
    """
    executor = load_before_test(version_folder(export), features)
    held_out = logged.users_held_out(_inputs(executor), config.max_users, config.seed)
    replayed = replay(executor, held_out, min_score, config.batch_size)
    release = executor.release["release"]
    if not impressions:
        return ServedAnswers(release, held_out, replayed, replayed.candidates, None)
    return ServedAnswers(release, held_out, replayed, *scored_impressions(executor, logged, config, tensors))


def scored_impressions(
    executor: Executor, logged: LoggedTest, config: EvaluationConfig, tensors: Tensors
) -> tuple[RankedRows, Events]:
    """The ranker's scores of the logged items, and the test interactions that they belong to."""
    columns, rows = logged.impressions(_inputs(executor), config.max_users, config.seed)
    events = events_of_test(tensors, rows, config.history)
    if config.history == "at_event":
        columns |= event_columns(events.moment)
    logits = rank_logged(executor, columns, config.batch_size)
    return RankedRows(logits, logged.label[rows], logged.users[rows], logged.items[rows], rows), events


def _inputs(executor: Executor) -> Signature:
    return {spec.name: spec.spec for spec in executor.inputs}
