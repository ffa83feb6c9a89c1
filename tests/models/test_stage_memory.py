"""The memory that the model stages expect to take, by hand: 200 users, 60 items."""

import numpy as np
import pytest
from stage_runs import SECTIONS, serving

from cascade.models.ranker.stage import RANKER
from cascade.models.retriever.stage import TWO_TOWER


def ranker(shop, topk=20, **options):
    config = SECTIONS["dlrm_ranker"].model_copy(update=options)
    return RANKER.memory({"dlrm_ranker": config, **serving(topk=topk)}, shop)


def test_candidates_of_a_ranker_are_bounded_by_its_events(shop, tensors):
    positives = int(tensors.interactions("train").positive.sum())
    assert ranker(shop, max_events=7).parts["20 candidates of 7 positives"] == 5 * 20 * 7
    assert f"20 candidates of {positives:,} positives" in ranker(shop).parts
    assert f"60 candidates of {positives:,} positives" in ranker(shop, topk=1000).parts, "there are 60 items"


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("kind", ["impressions", "both"])
def test_impressions_have_no_candidates_but_rates(shop, tensors, kind, refit, monkeypatch):
    monkeypatch.setattr("cascade.models.ranker.stage.trained_on", lambda config, data: kind)
    parts = ("train", "valid") if refit else ("train",)
    events, need = sum(len(tensors.interactions(part)) for part in parts), ranker(shop, max_events=7, refit=refit)
    assert ("20 candidates of 7 positives" in need.parts) == (kind == "both")
    assert need.parts[f"{events:,} interactions"] == events * (100 + 4 * 3 * 2)


@pytest.mark.parametrize("neighbours", [0, 100])
def test_the_retriever_scores_its_validation_in_blocks_and_counts_pairs_of_items(shop, tensors, neighbours):
    config = SECTIONS["two_tower"].model_copy(update={"neighbours": neighbours})
    need, source = TWO_TOWER.memory({"two_tower": config}, shop), tensors.interactions("train")
    pairs = min(60**2, int((np.bincount(source.user_row[source.positive]) ** 2).sum())) if neighbours else 0
    assert need.parts["scores of queries for 60 items"] == 16 * 512 * 60
    assert need.parts[f"{len(source):,} interactions"] == 100 * len(source)
    assert need.parts[f"SVD and iALS, then EASE of {pairs:,} pairs of items"] == 16 * pairs
