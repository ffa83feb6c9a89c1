"""The memory that the model stages expect to take, by hand: 200 users, 60 items."""

import pytest
from stage_runs import SECTIONS, serving

from cascade.models.ranker.stage import RANKER
from cascade.models.retriever.stage import TWO_TOWER


def ranker(shop, topk=20, **options):
    config = SECTIONS["dlrm_ranker"].model_copy(update=options)
    return RANKER.memory({"dlrm_ranker": config, **serving(topk=topk)}, shop)


def test_candidates_of_a_ranker_are_bounded_by_its_events(shop, tensors):
    positives = int(tensors.interactions("train").positive.sum())
    assert ranker(shop, max_events=7).parts["20 candidates of 7 positives"] == 13 * 20 * 7
    assert f"20 candidates of {positives:,} positives" in ranker(shop).parts
    assert f"60 candidates of {positives:,} positives" in ranker(shop, topk=1000).parts, "there are 60 items"


@pytest.mark.parametrize("kind", ["impressions", "both"])
def test_impressions_have_no_candidates_but_rates(shop, tensors, kind, monkeypatch):
    monkeypatch.setattr("cascade.models.ranker.stage.trained_on", lambda config, data: kind)
    events, need = len(tensors.interactions("train")), ranker(shop, max_events=7)
    assert ("20 candidates of 7 positives" in need.parts) == (kind == "both")
    assert need.parts[f"{events:,} interactions"] == events * (100 + 4 * 2 * 2)


def test_the_retriever_scores_its_validation_in_blocks(shop, tensors):
    need = TWO_TOWER.memory({name: None for name in TWO_TOWER.sections}, shop)
    assert need.parts["scores of queries for 60 items"] == 16 * 512 * 60
    assert need.parts[f"{len(tensors.interactions('train')):,} interactions"] == need.total - 16 * 512 * 60
