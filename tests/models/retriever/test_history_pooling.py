"""Pools of a history: by hand, and properties that hold at every position."""

import math

import numpy as np
import pytest

from cascade.models._merlin import tf
from cascade.models.config import HistoryTowerConfig
from cascade.models.layers.feature_vectors import RecencyMean
from cascade.models.retriever.causal_masks import distances
from cascade.models.retriever.history_encoder import POOLS
from cascade.models.retriever.history_pooling import AttentionPool, RecencyPool
from cascade.models.retriever.transformer import Attention, LayerNorm, TransformerPool

LENGTH, WIDTH = 6, 4
CODES = np.array([[5, 7, 9, 3, 8, 4], [6, 5, 4, 0, 0, 0], [0] * 6])
SEEN = np.minimum(CODES, 1).astype(np.float32)
VECTORS = np.random.default_rng(0).normal(size=(3, LENGTH, WIDTH)).astype(np.float32)
KINDS = {
    "recency": {},
    "mean": {},
    "attention": {},
    "attention, learned query": {"query": "learned"},
    "transformer": {"layers": 2},
    "transformer alone": {"recency": False},
    "transformer, window": {"positions": "window"},
}


def pool_of(name, seed=1, length=LENGTH):
    """A pool with random weights."""
    kind = name.split(",")[0].split()[0]
    pool = POOLS[kind](HistoryTowerConfig(kind=kind, **KINDS[name]))
    pool(tf.zeros([1, length, WIDTH]), tf.zeros([1, length]))
    rng = np.random.default_rng(seed)
    pool.set_weights([rng.normal(size=w.shape) for w in pool.get_weights()])
    return pool


def at_all(pool, vectors=VECTORS, seen=SEEN):
    return pool(vectors, seen, positions=seen.shape[1]).numpy()


def later(values, positions):
    """The history as it was ``positions`` items ago."""
    rest = np.zeros((len(values), positions, *values.shape[2:]), values.dtype)
    return np.concatenate([values[:, positions:], rest], axis=1)


def test_the_causal_mask_by_hand():
    distance, causal = distances(3, 3)
    assert causal.tolist() == [[1, 1, 1], [0, 1, 1], [0, 0, 1]]
    assert (distance * causal).tolist() == [[0, 1, 2], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("kind", ["recency", "attention", "mean"])
def test_a_set_has_no_positions(kind):
    """It starts as the plain mean, no weight of a position is learned, and no order of the items changes the result."""
    pool = POOLS[kind](HistoryTowerConfig(kind=kind, query="learned"), ordered=False)
    assert np.allclose(pool(VECTORS[:1], SEEN[:1])[0, 0], VECTORS[0].mean(axis=0), atol=1e-6)
    assert "log_weight" not in "".join(weight.name for weight in pool.trainable_weights)
    rng = np.random.default_rng(2)
    for weight in pool.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    shuffled = rng.permutation(LENGTH)
    assert np.allclose(pool(VECTORS[:1], SEEN[:1]), pool(VECTORS[:1, shuffled], SEEN[:1]), atol=1e-5)


def test_a_recency_mean_of_a_set_is_the_plain_mean():
    layer = RecencyMean(ordered=False)
    assert np.allclose(layer(VECTORS[1:2], CODES[1:2])[0, 0], VECTORS[1, :3].mean(axis=0), atol=1e-6)
    assert not layer.trainable_weights


@pytest.mark.parametrize("name", [n for n in KINDS if "window" not in n])
def test_a_position_equals_the_history_of_that_moment(name):
    """Training at a position equals serving the history of that moment."""
    pool = pool_of(name)
    everywhere = at_all(pool)
    for place in range(LENGTH):
        alone = pool(later(VECTORS, place), later(SEEN, place)).numpy()
        np.testing.assert_allclose(everywhere[:, place], alone[:, 0], atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_items_that_came_later_change_nothing(name):
    pool, other = pool_of(name), VECTORS.copy()
    other[:, :2] *= -2
    before, after = at_all(pool), at_all(pool, other)
    np.testing.assert_allclose(after[:, 2:], before[:, 2:], atol=1e-5)
    assert not np.allclose(after[0, :2], before[0, :2], atol=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_one_position_is_the_first_of_all(name):
    pool = pool_of(name)
    np.testing.assert_allclose(pool(VECTORS, SEEN).numpy(), at_all(pool)[:, :1], atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_padding_changes_nothing_and_an_empty_history_is_zero(name):
    pool, other = pool_of(name), VECTORS.copy()
    other[1, 3:] = 100
    other[2] = 100
    np.testing.assert_allclose(at_all(pool, other)[:2], at_all(pool)[:2], atol=1e-5)
    assert not at_all(pool, other)[2].any() and not at_all(pool, other)[1, 3:].any()


@pytest.mark.parametrize("name", KINDS)
def test_a_longer_padded_history_gives_the_same(name):
    pool, longer = pool_of(name), pool_of(name, length=LENGTH + 3)
    longer.set_weights(
        [_extended(small, big) for small, big in zip(pool.get_weights(), longer.get_weights(), strict=True)]
    )
    padded = (
        np.concatenate([v, np.ones((3, 3, *v.shape[2:]), np.float32) * fill], axis=1)
        for v, fill in ((VECTORS, 7), (SEEN, 0))
    )
    np.testing.assert_allclose(longer(*padded).numpy(), pool(VECTORS, SEEN).numpy(), atol=1e-5)


def _extended(small, big):
    big = big.copy()
    big[tuple(map(slice, small.shape))] = small
    return big


def test_recency_equals_the_recency_mean_layer():
    got = RecencyPool(HistoryTowerConfig())(VECTORS, SEEN).numpy()
    np.testing.assert_array_equal(got, RecencyMean()(VECTORS, tf.constant(CODES)).numpy())


@pytest.mark.parametrize("query", ["learned", "last"])
def test_attention_starts_as_recency(query):
    pool = AttentionPool(HistoryTowerConfig(kind="attention", query=query))
    np.testing.assert_allclose(at_all(pool), at_all(RecencyPool(HistoryTowerConfig())), atol=1e-6)


def test_an_untrained_transformer_returns_the_item_at_the_position():
    pool = TransformerPool(HistoryTowerConfig(kind="transformer", recency=False))
    expected = (VECTORS - VECTORS.mean(-1, keepdims=True)) / VECTORS.std(-1, keepdims=True) * SEEN[..., None]
    np.testing.assert_allclose(at_all(pool), expected, atol=1e-4)


def test_attention_pooling_by_hand():
    pool = AttentionPool(HistoryTowerConfig(kind="attention", query="learned"))
    vectors = np.array([[[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]], np.float32)
    pool(vectors, np.ones((1, 3), np.float32))
    pool.log_weight.assign([0.5, 0.25, 0.0])
    pool.query.assign([[math.sqrt(2)], [2 * math.sqrt(2)]])
    first, second = math.exp(0.5 + 1), math.exp(0.25 + 4)
    got = pool(vectors, np.array([[1, 1, 0]], np.float32)).numpy()[0, 0]
    np.testing.assert_allclose(got, [first / (first + second), 2 * second / (first + second)], rtol=1e-5)


def test_an_attention_layer_by_loops():
    """Two heads of width two over three items; the third is padding for the second history."""
    rng = np.random.default_rng(3)
    values, seen = rng.normal(size=(2, 3, 4)).astype(np.float32), np.array([[1, 1, 1], [1, 1, 0]], np.float32)
    layer = Attention(2)
    layer(values, seen, positions=3)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    query, key, value = (dense(values).numpy() for dense in (layer.query, layer.key, layer.value))
    heads = np.zeros((2, 3, 4))
    for row in range(2):
        for place in range(3):
            for head in (0, 1):
                part = slice(2 * head, 2 * head + 2)
                items = [j for j in range(place, 3) if seen[row, j]]
                scores = [
                    query[row, place, part] @ key[row, j, part] / math.sqrt(2) + layer.bias[head, j - place]
                    for j in items
                ]
                total = sum(map(math.exp, scores))
                heads[row, place, part] = sum(
                    (math.exp(s) / total * value[row, j, part] for s, j in zip(scores, items, strict=True)), np.zeros(2)
                )
    np.testing.assert_allclose(
        layer(values, seen, positions=3), layer.out(heads.astype(np.float32)), rtol=1e-4, atol=1e-4
    )


def test_layer_norm_is_that_of_keras():
    ours, keras = LayerNorm(), tf.keras.layers.LayerNormalization(epsilon=1e-6)
    np.testing.assert_allclose(ours(VECTORS).numpy(), keras(VECTORS).numpy(), atol=1e-5)


def test_dropout_only_in_training():
    pool = pool_of("transformer")
    np.testing.assert_array_equal(at_all(pool), at_all(pool))
    first, second = (pool(VECTORS, SEEN, training=True).numpy() for _ in range(2))
    assert not np.allclose(first, second)
