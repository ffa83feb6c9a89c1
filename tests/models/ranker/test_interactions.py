"""The interactions, by hand and compared with Merlin's cross block."""

import numpy as np
import pytest

from cascade.models._merlin import mm, tf
from cascade.models.config import DlrmConfig
from cascade.models.ranker.interactions import Concat, Cross, Dot
from cascade.models.ranker.side import Layout

ONE, TWO, WIDE = Layout((1,), False), Layout((2,), False), Layout((4, 3), False)


def config(hidden, **options):
    return DlrmConfig.model_validate({"top_mlp": [hidden, 1], **options})


def first_layer(interaction, users, items):
    """The first layer [B, K, H] from user vectors [B, ...] and candidate vectors [B, K, ...]."""
    users, items = np.asarray(users, "f4"), np.asarray(items, "f4")
    shape = items.shape[:2]
    flat = interaction.item_part(tf.constant(items.reshape(-1, *items.shape[2:])))
    rows = {name: tf.reshape(part, [*shape, -1]) for name, part in flat.items()}
    found = interaction.pair(interaction.user_part(tf.constant(users)), rows, shape)
    return found.numpy().reshape(*shape, -1)


def test_dot_by_hand():
    """Two user vectors and one item vector: one product among the user's, none among the item's, two across."""
    dot = Dot(Layout((2, 2), False), TWO, config(1))
    users, items = [[[1, 2], [3, 0]]], [[[[1, 1]], [[0, 2]]]]
    first_layer(dot, users, items)  # builds the weights
    dot.top_user.set_weights([np.array([[10.0]])])
    dot.top_pair.set_weights([np.array([[5.0], [1], [100]]), np.array([0.5])])
    assert first_layer(dot, users, items)[0, :, 0].tolist() == [10 * 3 + 3 + 300 + 0.5, 10 * 3 + 4 + 0.5]


def test_concat_by_hand():
    concat = Concat(TWO, ONE, config(2))
    concat.set_weights([np.array([[1.0, 0], [0, 1], [10, -1]]), np.array([0.5, 0])])
    assert first_layer(concat, [[1, 2]], [[[3], [4]]]).tolist() == [[[31.5, -1], [41.5, -2]]]


def test_cross_by_hand():
    """x_0 = (2, 3): x_1 = x_0 * (11 + 1, 16) + x_0 = (26, 51), x_2 = x_0 * x_1 + x_1 = (78, 204)."""
    cross = Cross(ONE, ONE, config(1))
    cross.first.set_weights([np.array([[1.0, 2], [3, 4]]), np.array([1.0, 0])])
    cross.rest[0].set_weights([np.eye(2), np.zeros(2)])
    cross.kernel.assign([[1.0], [1]])
    assert first_layer(cross, [[2]], [[[3], [-1]]]).tolist() == [[[78 + 204], [6]]]


def random_cross(layers, rank):
    made = Cross(Layout((3, 5), True), WIDE, config(6, cross={"layers": layers, "rank": rank}))
    rng = np.random.default_rng(0)
    for weight in made.weights:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    return made


def vectors(seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 8)).astype("f4"), rng.normal(size=(2, 3, 7)).astype("f4")


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("rank", [None, 4])
def test_cross_is_merlins_cross_block(layers, rank):
    ours = random_cross(layers, rank)
    users, items = vectors()
    x0 = np.concatenate([np.repeat(users[:, None], 3, axis=1), items], axis=-1).reshape(6, 15)
    block = mm.CrossBlock(depth=layers, low_rank_dim=rank)
    block(x0)
    for layer, own in zip(block.layers, [ours.first, *ours.rest], strict=True):
        thin = [] if rank is None else [own.outer]
        weights = {tuple(w.shape): w for w in (own.inner, *thin, own.bias)}
        for theirs in layer.weights:
            theirs.assign(weights[tuple(theirs.shape)])
    expected = np.asarray(block(x0)) @ ours.kernel.numpy() + ours.bias.numpy()
    np.testing.assert_allclose(first_layer(ours, users, items).reshape(6, 6), expected, rtol=1e-4, atol=1e-4)


def test_low_rank_is_full_rank_of_the_product():
    thin, full = random_cross(3, 4), random_cross(3, None)
    for low, high in zip([thin.first, *thin.rest], [full.first, *full.rest], strict=True):
        high.inner.assign(tf.matmul(low.inner, low.outer))
        high.bias.assign(low.bias)
    full.kernel.assign(thin.kernel)
    full.bias.assign(thin.bias)
    np.testing.assert_allclose(first_layer(thin, *vectors()), first_layer(full, *vectors()), rtol=1e-4, atol=1e-4)


def test_cross_layers_start_small_like_merlins():
    """A normal distribution of standard deviation 0.05, truncated at two standard deviations."""
    layer = Cross(Layout((60,), False), Layout((40,), False), config(4)).first
    assert layer.inner.numpy().std() == pytest.approx(0.044, abs=0.002)
    assert np.abs(layer.inner).max() <= 0.1 and not layer.bias.numpy().any()
