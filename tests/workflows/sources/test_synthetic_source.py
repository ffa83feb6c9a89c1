"""The synthetic shop: its seed, its columns, and its best possible AUC."""

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from cascade.workflows.config import DataConfig, SyntheticConfig
from cascade.workflows.sources import open_source, synthetic


def shop(**options):
    return open_source(DataConfig(source="synthetic", synthetic=SyntheticConfig(**{"interactions": 20_000, **options})))


@pytest.fixture(scope="module")
def small():
    source = shop()
    return source, pa.concat_tables(source.interactions())


def test_columns_of_each_table(small):
    source, interactions = small
    assert set(source.users.column_names) == {"user_id", "age_norm", "geo"}
    assert set(source.items.column_names) == {"item_id", "brand", "category", "price", "discount"}
    assert set(interactions.column_names) == {"user_id", "item_id", "timestamp", "session_time", "device", "label"}
    assert interactions.num_rows == 20_000
    assert set(interactions["label"].to_pylist()) == {0, 1}


def test_the_seed_decides(small):
    _, interactions = small
    assert pa.concat_tables(shop().interactions()).equals(interactions)
    assert not pa.concat_tables(shop(seed=1).interactions()).equals(interactions)


def test_chunks_hold_whole_users_in_order(small):
    assert (np.diff(small[1]["user_id"].to_numpy()) >= 0).all()


def test_best_auc_is_that_of_the_probability(monkeypatch):
    """Compared with the AUC of the exact probabilities; bins of 1/4096 change it by less than 1e-4."""
    found = []
    draw = synthetic.impressions

    def spy(*args):
        columns, probability = draw(*args)
        found.append((columns["label"], probability))
        return columns, probability

    monkeypatch.setattr(synthetic, "impressions", spy)
    source = shop(interactions=50_000)
    list(source.interactions())
    labels, probabilities = (np.concatenate(column) for column in zip(*found, strict=True))
    assert source.metrics["best_auc"] == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-4)
    assert source.metrics["click_rate"] == pytest.approx(labels.mean())
    assert 0.7 < source.metrics["best_auc"] < 0.95


def test_no_single_column_explains_the_clicks(small):
    """Users and items together predict clicks better than price or discount, so there is something to learn."""
    source, interactions = small
    items = source.items.take(pa.array(interactions["item_id"].to_numpy() - 1))
    label = interactions["label"].to_numpy()
    for column in ("price", "discount"):
        auc = roc_auc_score(label, items[column].to_numpy())
        assert max(auc, 1 - auc) < source.metrics["best_auc"] - 0.05


def test_binned_auc_by_hand():
    # By ascending score: 1 click and 2 others, then 3 and 1. Pairs won: 3 * 2; ties: 1 * 2 and 3 * 1 count half.
    assert synthetic.binned_auc(np.array([1, 3]), np.array([2, 1])) == pytest.approx((6 + 2.5) / 12)


def test_sizes_by_default():
    assert synthetic.sizes(SyntheticConfig(interactions=100_000_000)) == (2_000_000, 100_000)
    assert synthetic.sizes(SyntheticConfig(interactions=10_000)) == (200, 100)
