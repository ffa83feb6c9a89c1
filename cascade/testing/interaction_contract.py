"""What every interaction of the ranker has to hold, as a test class to inherit from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ..models.config import DlrmConfig

if TYPE_CHECKING:
    from ..models.ranker.interactions import Interaction

USERS, CANDIDATES, HIDDEN, WIDTH = 3, 4, 5, 6


class InteractionContract:
    """Inherit from it and set ``interaction``, the registered class.

    The tests check that

    - the layer is [B * K, H], in float32 and finite,
    - ``item_part`` gives what ``part_widths`` says, ``item_share`` among it, and ``pair`` needs no more than that: then
      the part of an item can be computed once for a release,
    - the layer of a user and a candidate does not depend on the other users and candidates of the batch,
    - ``at_once`` and ``of_pairs`` are the same function as ``pair``,
    - both sides count, and every weight has a gradient.
    """

    interaction: type[Interaction]
    options: Mapping[str, Any] = {}
    """Keys of ``dlrm_ranker`` that it reads."""
    rtol = 1e-4
    """Relative tolerance of float32 sums in another order."""

    @pytest.fixture
    def made(self) -> Interaction:
        from ..models.ranker.side import Layout

        config = DlrmConfig.model_validate({"top_mlp": [HIDDEN, 1], **self.options})
        users, items = ((WIDTH,) * 3, (WIDTH,) * 2) if self.interaction.stacked else ((WIDTH, 2, 1), (WIDTH, 3))
        return self.interaction(Layout(users, True), Layout(items, False), config)

    @pytest.fixture
    def users(self, made: Interaction) -> NDArray[np.float32]:
        return _vectors(made.user_layout, (USERS,), made.stacked, 0)

    @pytest.fixture
    def items(self, made: Interaction) -> NDArray[np.float32]:
        return _vectors(made.item_layout, (USERS, CANDIDATES), made.stacked, 1)

    def test_layer_of_every_candidate(self, made: Interaction, users: Any, items: Any) -> None:
        layer = _layer(made, users, items)
        assert layer.shape == (USERS, CANDIDATES, HIDDEN) and layer.dtype == np.float32
        assert np.isfinite(layer).all()

    def test_item_part_is_what_it_declares(self, made: Interaction, items: Any) -> None:
        parts = made.item_part(items.reshape(-1, *items.shape[2:]))
        assert "item_share" in made.part_widths
        widths = {name: tuple(part.shape) for name, part in parts.items()}
        assert widths == {name: (USERS * CANDIDATES, width) for name, width in made.part_widths.items()}

    def test_a_candidate_does_not_depend_on_the_others(self, made: Interaction, users: Any, items: Any) -> None:
        together = _layer(made, users, items)
        for user in range(USERS):
            for place in range(CANDIDATES):
                own = _layer(made, users[user : user + 1], items[user : user + 1, place : place + 1])
                np.testing.assert_allclose(own[0, 0], together[user, place], rtol=self.rtol, atol=1e-5)

    def test_at_once_and_of_pairs_are_the_same(self, made: Interaction, users: Any, items: Any) -> None:
        from ..models._merlin import tf

        layer = _layer(made, users, items)
        rows = tf.constant(items.reshape(-1, *items.shape[2:]))
        at_once = made.at_once(tf.constant(users), rows, _shape(items)).numpy()
        np.testing.assert_allclose(at_once.reshape(layer.shape), layer, rtol=self.rtol, atol=1e-5)
        pairs = made.of_pairs(_apart(made.user_layout, users), _apart(made.item_layout, items[:, 0])).numpy()
        np.testing.assert_allclose(pairs, layer[:, 0], rtol=self.rtol, atol=1e-5)

    def test_both_sides_count(self, made: Interaction, users: Any, items: Any) -> None:
        layer = _layer(made, users, items)
        assert not np.allclose(_layer(made, users + 1, items), layer)
        assert not np.allclose(_layer(made, users, items + 1), layer)

    def test_every_weight_has_a_gradient(self, made: Interaction, users: Any, items: Any) -> None:
        from ..models._merlin import tf

        _layer(made, users, items)
        with tf.GradientTape() as tape:
            rows = tf.constant(items.reshape(-1, *items.shape[2:]))
            loss = tf.reduce_sum(tf.square(made.at_once(tf.constant(users), rows, _shape(items))))
        weights = made.trainable_weights
        assert weights, "an interaction whose weights training cannot reach learns nothing"
        for weight, gradient in zip(weights, tape.gradient(loss, weights), strict=True):
            assert gradient is not None, f"{weight.name}: no gradient"
            assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all()


def _vectors(layout: Any, leading: tuple[int, ...], stacked: bool, seed: int) -> NDArray[np.float32]:
    """One side's vectors: [..., F, D] where stacked, else side by side [..., W]."""
    shape = (*leading, layout.count, layout.widths[0]) if stacked else (*leading, layout.total)
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _layer(made: Interaction, users: NDArray[np.float32], items: NDArray[np.float32]) -> NDArray[np.float32]:
    """[B, K, H] of users' vectors [B, ...] and their candidates' [B, K, ...], as the request path computes it."""
    from ..models._merlin import tf

    shape = _shape(items)
    parts = made.item_part(tf.constant(items.reshape(-1, *items.shape[2:])))
    rows = {name: tf.reshape(parts[name], [*shape, width]) for name, width in made.part_widths.items()}
    layer: NDArray[np.float32] = made.pair(made.user_part(tf.constant(users)), rows, shape).numpy()
    return layer.reshape(*items.shape[:2], -1)


def _shape(items: NDArray[np.float32]) -> tuple[Any, Any]:
    """B and K as tensors, as a batch of any size has them."""
    from ..models._merlin import tf

    return tf.constant(items.shape[0]), tf.constant(items.shape[1])


def _apart(layout: Any, vectors: NDArray[np.float32]) -> list[Any]:
    """The vectors of one side, each [B, 1, D]."""
    from ..models._merlin import tf

    if vectors.ndim == 3:
        return [tf.constant(vectors[:, at : at + 1]) for at in range(layout.count)]
    return [tf.constant(part[:, None]) for part in np.split(vectors, np.cumsum(layout.widths)[:-1], axis=1)]
