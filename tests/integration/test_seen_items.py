"""``serving.seen: keep``: the served graph and the evaluation, of models that exist."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from cascade.core.artifact import Artifact
from cascade.ensemble.repository.stage import EXPORT
from cascade.evaluation.served_graph import load_before_test, version_folder
from cascade.evaluation.stage import EVALUATION

KEEP = {"drop": False, "keep": True}


@dataclass(frozen=True)
class Release:
    """An export and its evaluation."""

    export: Artifact
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def releases(strings: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Release]:
    """The release of `strings` once with ``drop`` and once with ``keep``; all 30 items may be candidates."""
    made = {}
    for seen in KEEP:
        runs = tmp_path_factory.mktemp(seen)
        sections = {key: strings.config.section(key) for key in [*EXPORT.sections, *EVALUATION.sections]}
        ann = sections["serving"].ann.model_copy(update={"topk": 30})
        sections["serving"] = sections["serving"].model_copy(update={"seen": seen, "ann": ann})
        parts = dict(strings.artifacts)
        for stage in (EXPORT, EVALUATION):
            parts[stage.name] = stage.run(runs, sections, {name: parts[name] for name in stage.parents})
        made[seen] = Release(parts["export"], dict(parts["evaluation"].metrics))
    return made


@pytest.mark.parametrize("seen", KEEP)
def test_items_of_the_history_are_candidates_if_they_are_kept(strings: Any, releases: Any, seen: str) -> None:
    release = releases[seen]
    executor = load_before_test(version_folder(release.export.path), strings.artifacts["features"].path)
    users = np.load(strings.artifacts["etl"].path / "user_ids.npy").astype(object)[:, None]
    excluded = np.array([["item/00", "item/20"]] * len(users), object)
    keep = ["history", "candidate_rows", "seen_rows"]
    columns = executor.run({"user_id": users, "exclude_items": excluded}, keep=keep)[0]
    codes = np.load(strings.artifacts["etl"].path / "items" / "item_id.npy")[:, 0]
    ids = np.load(strings.artifacts["etl"].path / "item_ids.npy")
    for history, candidates in zip(columns["history"], columns["candidate_rows"], strict=True):
        found = candidates[candidates >= 0]
        had = set(history[history > 0].tolist()) - {codes[row] for row, name in enumerate(ids) if name in excluded[0]}
        assert had and (had <= {*codes[found].tolist()} if KEEP[seen] else not had & {*codes[found].tolist()})
        assert not {*excluded[0]} & {*ids[found].tolist()}


def test_the_evaluation_filters_the_same_for_all(releases: Any) -> None:
    """All 30 items are ranked for each user, or 22 of them, so popularity finds less among the first ten."""
    drop, keep = (releases[seen].metrics for seen in KEEP)
    assert drop["funnel"]["filtered"]["count"] == keep["funnel"]["filtered"]["count"] == 0
    for found in (drop["baselines"], keep["baselines"]):
        assert "popularity" in found
    recall = [found["baselines"]["popularity"]["recall@20"] for found in (drop, keep)]
    assert recall[0] > recall[1]
