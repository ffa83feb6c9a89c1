"""Every loss x sampling x interaction on a small shop, two epochs each; ``tests/benchmarks/grid.py`` has a real log."""

import itertools

import numpy as np
import pytest

from cascade.models.config import (
    DlrmConfig,
    NegativesConfig,
    RankerTrainingConfig,
    TowerConfig,
    TrainingConfig,
    TwoTowerConfig,
)
from cascade.models.layers.feature_gather import Lookup
from cascade.models.metrics import target_ndcg, target_recall
from cascade.models.ranker.rows import CandidateRows
from cascade.models.ranker.training import score_rows, validation_score
from cascade.models.ranker.training import train as train_ranker
from cascade.models.retriever.encode import encode_items, encode_users
from cascade.models.retriever.full_ranks import full_ranks
from cascade.models.retriever.training import train, valid_ranks
from cascade.models.retriever.user_items import user_items
from cascade.models.training.rows import Events

pytestmark = pytest.mark.slow

LOSSES, SAMPLINGS = ("bpr", "softmax", "sampled_softmax"), ("in_batch", "mixed", "hard")
INTERACTIONS = ("dot", "concat", "cross")
EPOCHS, TOPK = 2, 20
TOWER = TowerConfig(default_dim=8, mlp=[16, 8])


def two_tower(loss, sampling, seed=42):
    return TwoTowerConfig(
        user_tower=TOWER,
        item_tower=TOWER,
        loss=loss,
        neg_sampling=sampling,
        negatives=NegativesConfig(drawn=64, per_query=4, refresh_steps=10),
        training=TrainingConfig(epochs=EPOCHS, batch_size=64, learning_rate=1e-2, seed=seed),
    )


def ranker(interactions, seed=42):
    training = RankerTrainingConfig(epochs=EPOCHS, batch_size=256, learning_rate=1e-2, seed=seed)
    widths = {"default_dim": 8, "bottom_mlp": [16, 8], "top_mlp": [64, 16, 1]}
    return DlrmConfig(**widths, interactions=interactions, dropout=0.1, negatives=8, training=training)


class Exact:
    """The retriever's candidates without a file or an index."""

    valid_history = "at_event"

    def __init__(self, model, tensors):
        self.model, self.lookup, self.topk = model, Lookup(tensors), TOPK
        self.vectors = encode_items(model, self.lookup, len(tensors.item_ids))

    def __call__(self, tensors, events, seen):
        scores = encode_users(self.model, self.lookup, events) @ self.vectors.T
        hidden = seen.contains(np.broadcast_to(np.arange(scores.shape[1]), scores.shape))
        scores[hidden] = -np.inf
        return np.argsort(-scores, axis=1)[:, :TOPK].astype(np.int32)


@pytest.fixture(scope="module")
def valid(tensors):
    """Validation positives, and the items that their users have in the training part."""
    seen = user_items(tensors.interactions("train"), (len(tensors.user_ids), len(tensors.item_ids)))
    return Events.positives(tensors.interactions("valid")), seen


@pytest.fixture(scope="module", params=itertools.product(LOSSES, SAMPLINGS), ids="-".join)
def retriever(request, tensors, tmp_path_factory):
    """A trained retriever, which three rankers share, and the result of its training."""
    return train(tensors, two_tower(*request.param), tmp_path_factory.mktemp("two_tower"))


def test_the_retriever_beats_popularity(retriever, tensors, valid):
    model, found = retriever
    counts = tensors.item_counts.astype(np.float32)[:, None]
    popular = full_ranks(np.ones((len(valid[0]), 1), np.float32), counts, *valid)
    ranks = valid_ranks(model, Lookup(tensors), *valid)
    assert np.isfinite(found.losses).all() and found.losses[1] < found.losses[0]
    assert target_ndcg(ranks).mean() > target_ndcg(popular).mean()
    assert target_recall(ranks, 10).mean() > target_recall(popular, 10).mean()
    assert 0 < found.hard_share < 1 and found.temperature == 0.1


@pytest.mark.parametrize("interactions", INTERACTIONS)
def test_the_ranker_beats_popularity_on_its_candidates(interactions, retriever, tensors, tmp_path):
    config = ranker(interactions)
    rows = CandidateRows(tensors, Exact(retriever[0], tensors), config)
    model, found, shown = train_ranker(tensors, rows, config, tmp_path)
    popular = validation_score(tensors.item_counts[shown.candidates], shown)
    assert np.isfinite(found.losses).all() and found.losses[1] < found.losses[0]
    assert validation_score(score_rows(model, Lookup(tensors), shown), shown) > popular
