"""DataFrames in, recommendations out, without a server: python examples/recommend_from_dataframes.py

The tables are made up here: users like either odd or even items. Put your own DataFrames in their place.
"""

import numpy as np
import pandas as pd

import cascade


def made_up_tables() -> dict[str, pd.DataFrame]:
    """20 purchases of each of 200 users among 60 items, in the order of time."""
    rng = np.random.default_rng(0)
    rows = [(user, 2 * item + user % 2) for user in range(200) for item in rng.permutation(30)[:20]]
    interactions = pd.DataFrame(rows, columns=["user_id", "item_id"])
    interactions["timestamp"] = np.arange(len(interactions))
    items = pd.DataFrame({"item_id": range(60), "kind": ["even", "odd"] * 30})
    return {"interactions": interactions, "items": items}


def main() -> None:
    """Train, then ask for a known user, an unknown one, and for items that are like another."""
    config = cascade.load_config(
        overrides={
            "schema.sparse": ["user_id", "item_id", "kind"],
            "two_tower.training.epochs": 3,
            "dlrm_ranker.training.epochs": 1,
        }
    )
    artifacts = cascade.run(config, tables=made_up_tables(), progress=True)
    print("recall@10 of the retriever:", artifacts["evaluation"].metrics["retrieval"]["recall@10"])
    with cascade.open_release(artifacts["export"]) as release:
        print(release.recommend([7, 10_007], top_k=3).to_frame())
        print(release.similar([4], top_k=3).to_frame())
        print(release.explain(7, top_k=3).items.head())


if __name__ == "__main__":
    main()
