"""Target encoding of the ranker's categories."""

import numpy as np
import pytest
from model_shop import make_shop
from sklearn.preprocessing import TargetEncoder
from stage_runs import rank_again, run_stages

from cascade.core.errors import ConfigError
from cascade.core.features import Feature, FeatureSchema
from cascade.models.config import DlrmConfig, RatesConfig
from cascade.models.ranker import target_encoding
from cascade.models.ranker.target_encoding import Rates, encode_rates, rate_features
from cascade.models.training.rows import Events
from cascade.workflows.tables.target_encoding import draw_folds

CODES, CARDINALITY = 3, 9
SCHEMA = FeatureSchema(
    (
        Feature("user_id", "user", "categorical", 9),
        Feature("age", "user", "continuous"),
        Feature("history", "user", "categorical", 9, 4, "item_id"),
        Feature("item_id", "item", "categorical", 9),
    )
)


def encode(codes, *rest, **options):
    """The encoding of codes [n] or [n, L]."""
    return target_encoding.encode(codes.reshape(len(codes), -1).__getitem__, *rest, **options)


def impressions(rows=400, seed=0):
    """Codes of six categories [n] and two labels [n, 2]."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(CODES, CARDINALITY, rows)
    chance = np.stack([codes / 10, 1 - codes / 12], axis=1)
    return codes, (rng.random((rows, 2)) < chance).astype(np.float32)


def test_numbers_by_hand():
    codes, labels = np.array([3, 3, 3, 4]), np.array([[1], [1], [0], [0]], np.float32)
    table = encode(codes, labels, 5, RatesConfig(smoothing=2), seed=0).table
    odds = np.log((2 + 2 * 0.5) / (3 + 2) / (1 - 3 / 5))
    np.testing.assert_allclose(table[3], [odds, np.log(4)], rtol=1e-6)
    np.testing.assert_allclose(table[4], [np.log(1 / 2), np.log(2)], rtol=1e-6)
    assert not table[:3].any()


def test_shares_are_scikit_learns():
    codes, labels = impressions()
    table = encode(codes, labels, CARDINALITY, RatesConfig(smoothing=7), seed=0).table
    for at, label in enumerate(labels.T):
        oracle = TargetEncoder(smooth=7.0, target_type="continuous").fit(codes[:, None], label)
        mean = label.mean(dtype=np.float64)
        shares = 1 / (1 + np.exp(-(table[CODES:, at] + np.log(mean / (1 - mean)))))
        np.testing.assert_allclose(shares, oracle.encodings_[0], rtol=1e-5)


def test_a_row_does_not_see_its_own_label():
    codes, labels = impressions()
    config = RatesConfig(folds=2)
    before = encode(codes, labels, CARDINALITY, config, seed=3).rows
    fold = np.random.default_rng(3).integers(0, 2, len(codes))
    one, zero = (np.flatnonzero((fold == 0) & (labels[:, 0] == y) & (codes == CODES + y))[0] for y in (1, 0))
    changed = labels.copy()
    changed[[one, zero], 0] = 0, 1  # the mean of all stays as it is
    after = encode(codes, changed, CARDINALITY, config, seed=3).rows
    assert (before[fold == 0] == after[fold == 0]).all()
    touched = np.isin(codes, codes[[one, zero]]) & (fold == 1)
    assert touched.any() and (before[touched, 0] != after[touched, 0]).all()


def test_unknown_and_missing_values_are_0():
    codes, labels = impressions()
    codes[:50], codes[50:100] = 1, 2
    found = encode(codes, labels, CARDINALITY, RatesConfig(), seed=1)
    assert not found.table[:CODES].any() and not found.rows[:100].any()
    assert found.rows[100:, -1].all()


def test_layer_reads_out_of_fold_encodings_and_hides_those_of_hidden_ids():
    layer = Rates(next(iter(SCHEMA)), labels=1)
    layer.table.assign(np.arange(18, dtype=np.float32).reshape(9, 2))
    codes = np.array([[4], [2], [1]])
    np.testing.assert_array_equal(layer({"user_id": codes}), [[8, 9], [4, 5], [2, 3]])
    given = np.tile(np.array([[0.5, 0.25]], np.float32), (3, 1))
    np.testing.assert_array_equal(layer({"user_id": codes, "rates:user_id": given}), [[0.5, 0.25], [0, 0], [0, 0]])


LISTS = np.array([[3, 4], [3, 0], [4, 4], [0, 0]])
"""Codes of four events; 0 is padding."""


def test_a_list_is_the_mean_of_its_entries_and_each_entry_an_event():
    labels = np.array([[1], [1], [0], [0]], np.float32)
    config = RatesConfig(smoothing=2)
    found = encode(LISTS, labels, 5, config, seed=0)
    share = np.array([(2 + 2 * 0.5) / (2 + 2), (1 + 2 * 0.5) / (3 + 2)])
    np.testing.assert_allclose(found.table[3:, 0], np.log(share / (1 - share)), rtol=1e-6)
    np.testing.assert_allclose(found.table[3:, 1], np.log([3, 4]), rtol=1e-6)
    assert not found.table[:3].any() and not found.rows[3].any()


def test_a_list_does_not_see_its_own_label():
    rng = np.random.default_rng(0)
    codes, (_, labels) = rng.integers(CODES, CARDINALITY, (400, 3)), impressions()
    codes[rng.random(codes.shape) < 0.3] = 0
    config = RatesConfig(folds=4, smoothing=1)
    got = encode(codes, labels, CARDINALITY, config, seed=3).rows
    fold, mean = np.random.default_rng(3).integers(0, 4, len(codes)), labels.mean(axis=0)
    for row in (0, 7, 11):
        known, entries = fold != fold[row], codes[row][codes[row] > 0]
        times = np.stack([(codes[known] == code).sum(axis=1) for code in entries])
        sums, count = times @ labels[known], times.sum(axis=1, keepdims=True)
        share = (sums + mean) / (count + 1)
        odds = np.log(share / (1 - share)) - np.log(mean / (1 - mean))
        np.testing.assert_allclose(got[row], [*odds.mean(axis=0), np.log1p(count).mean()], rtol=1e-4, atol=1e-6)


def test_events_are_encoded_in_chunks(monkeypatch):
    codes, labels = impressions()
    whole = encode(codes, labels, CARDINALITY, RatesConfig(), seed=1)
    monkeypatch.setattr(target_encoding, "CHUNK", 7)
    parts = encode(codes, labels, CARDINALITY, RatesConfig(), seed=1)
    np.testing.assert_allclose(parts.table, whole.table)
    np.testing.assert_allclose(parts.rows, whole.rows)


def test_layer_takes_the_mean_of_a_list_without_its_padding():
    layer = Rates(Feature("genres", "item", "categorical", 9, 4), labels=1)
    layer.table.assign(np.arange(18, dtype=np.float32).reshape(9, 2))
    codes = np.array([[3, 5, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(layer({"genres": codes}), [[8, 9], [0, 0]], rtol=1e-6)
    given = np.ones((2, 2), np.float32)
    np.testing.assert_array_equal(layer({"genres": codes, "rates:genres": given}), [[1, 1], [0, 0]])


def test_layer_of_a_history_adds_its_length():
    layer = Rates(SCHEMA["history"], labels=2)
    layer.table.assign(np.arange(18, dtype=np.float32).reshape(9, 2))
    codes = np.array([[3, 5, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(layer({"history": codes}), [[8, 9, np.log(3)], [0, 0, 0]], rtol=1e-6)
    given = np.ones((2, 2), np.float32)
    shown = layer({"history": codes, "rates:history": given})
    np.testing.assert_allclose(shown, [[1, 1, np.log(3)], [0, 0, 0]], rtol=1e-6)


def test_a_history_has_the_rates_of_its_items_outside_the_fold_of_the_event(tensors, monkeypatch):
    monkeypatch.setattr(target_encoding, "LISTS", 7)
    config, events = RatesConfig(features=["history"], folds=3), Events.of(tensors.interactions("train"))
    labels = (np.random.default_rng(0).random((len(events), 1)) < 0.4).astype(np.float32)
    found = encode_rates(tensors, events, labels, config, seed=5)["history"]
    code, fold = np.asarray(tensors.items["item_id"])[events.item_row, 0], draw_folds(len(events), 3, 5)
    history, mean = np.asarray(events.moment["history"]), labels.mean(dtype=np.float64)

    def rate(entry, rows):
        own = labels[rows & (code == entry), 0]
        share = (own.sum() + 10 * mean) / (len(own) + 10)
        return np.log(share / (1 - share)) - np.log(mean / (1 - mean)) if len(own) else 0.0

    longest = np.argsort(-(history > 0).sum(axis=1))[:20]
    for row in longest:
        entries = history[row][history[row] > 0]
        expected = np.mean([rate(entry, fold != fold[row]) for entry in entries])
        np.testing.assert_allclose(found.rows[row], [expected], rtol=1e-4, atol=1e-6)
    every = np.ones(len(events), bool)
    np.testing.assert_allclose(found.table[code[:9], 0], [rate(each, every) for each in code[:9]], rtol=1e-4, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["recency", "target_attention"])
def test_rates_of_all_kinds_are_exported_and_split(kind, tmp_path):
    parts = run_stages(tmp_path, make_shop(tmp_path / "shop", label=True), type="flat")
    features = ["user_id", "city", "history", "item_id", "genres"]
    parts = rank_again(tmp_path, parts, rates={"features": features}, history={"kind": kind})
    metrics = parts["ranker"].metrics
    assert metrics["train_on"] == "impressions"
    assert metrics["onnx_max_difference"] < 1e-4 and metrics["split"]["max_difference"] <= 1e-5


@pytest.mark.parametrize("name", ["age", "nothing"])
def test_features_without_categories_are_an_error(name):
    config = DlrmConfig(rates=RatesConfig(features=["user_id", name]))
    with pytest.raises(ConfigError, match=rf"dlrm_ranker.rates.features: '{name}' holds no categories"):
        rate_features(SCHEMA, config.rates, ("user",))
