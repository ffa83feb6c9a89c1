"""A log without times, from the table to recommendations: a history is a set."""

import numpy as np
import pandas as pd

import cascade

SMALL = {
    "schema.sparse": ["user_id", "item_id"],
    "two_tower": {"user_tower.mlp": [16], "item_tower.mlp": [16], "linear": 16},
    "two_tower.training": {"epochs": 4, "batch_size": 128, "learning_rate": 0.01},
    "dlrm_ranker": {"bottom_mlp": [16], "top_mlp": [16, 1], "training.epochs": 1},
    "serving": {"ann.topk": 20, "rerank.k": 10},
    "evaluation": {"replicates": 100, "baselines": ["popularity", "markov"]},
}


def test_users_get_items_of_their_taste(tmp_path, monkeypatch):
    """60 users of two tastes with 10 of the 20 items of theirs; sorted by item, which must mean nothing."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(60), 10)
    items = np.concatenate([rng.permutation(20)[:10] + 20 * (user % 2) for user in range(60)])
    table = pd.DataFrame({"user_id": users, "item_id": items}).sort_values("item_id")
    config = cascade.load_config(overrides=SMALL)
    made = cascade.run(config, tables={"interactions": table})
    [notice] = made["data"].metrics["notices"]
    assert notice.startswith("interactions: no timestamps") and "one random positive of each user" in notice
    assert notice in made["evaluation"].metrics["notices"]
    assert "skipped" in made["evaluation"].metrics["baselines"]["markov"]
    with cascade.open_release(made["export"]) as release:
        frame = release.recommend(list(range(60)), top_k=5).to_frame()
    own_taste = frame["item_id"] // 20 == frame["user_id"] % 2  # a third of the 30 items that a user has not seen
    assert own_taste.mean() > 0.6
