"""A linear part beside the towers: a few more numbers of each vector, so that the inner product is the sum of both.

score = cosine of the towers + ratio * (unit query of the history . item). Where interactions are few, or have no order,
such a model (iALS, EASE) is better than what towers learn from them, and the sum is better than either. Which of them,
and how much it counts, is chosen on the validation part; where it adds nothing, the towers stay alone.

An item's linear vectors have different lengths, which holds its popularity. One more number fills each up to length 1,
and the query has 0 there, so that inner products do not change and all vectors have length 1 as before (Bachrach et
al., "Speeding up the Xbox recommender system using a Euclidean transformation for inner-product spaces", 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.features import HISTORY
from ...workflows.transforms.codes import FIRST_CODE
from .._merlin import tf
from ..layers.feature_gather import ITEM_ID, Lookup
from ..layers.feature_vectors import padding_mask, weighted_mean
from ..training.progress import announce
from ..training.rows import Events
from .encode import encode_items, encode_users
from .item_to_item.factorizations import Factors, factorization, names
from .mixtures import Requests, best_mixture, products, spread
from .two_tower import TwoTower

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from ...workflows.etl.tensors import Split, Tensors

Array = NDArray[np.float32]
FILE = "linear.npz"
RATIOS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Tried: how far the linear part's scores spread over the items, as a multiple of the towers'."""
MOST_POSITIVES = 2_000_000
"""Positives that are factorized, of users drawn at random; items' vectors do not need more."""
KNOWN: Sequence[Split] = ("train", "valid")
"""What the served part is fitted on."""
SEED = 0


@dataclass(frozen=True)
class LinearPart:
    """What is added to the towers. C item codes, D numbers."""

    history: Array
    """[C, D], of the codes of a history."""
    item: Array
    """[C, D], at most of length 1."""
    ratio: float
    """Weight in the query."""

    def beside(self, model: TwoTower) -> None:
        """Put the part beside both towers of ``model``, in the place of another one."""
        query, candidate = (getattr(tower, "tower", tower) for tower in (model.query, model.candidate))
        model.query, model.candidate = QueryBeside(query, self), ItemBeside(candidate, self)

    def save(self, folder: Path) -> None:
        np.savez(folder / FILE, history=self.history, item=self.item, ratio=self.ratio)

    @classmethod
    def load(cls, folder: Path) -> LinearPart | None:
        """The one that ``save`` wrote into ``folder``, if any."""
        if not (folder / FILE).is_file():
            return None
        with np.load(folder / FILE) as found:
            return cls(found["history"], found["item"], float(found["ratio"]))


@dataclass(frozen=True)
class ChosenLinear:
    """The same linear part, fitted on two parts of the data."""

    train: LinearPart
    """Of the training part alone: for what learns from the validation part."""
    served: LinearPart
    """Of everything before the test part."""


class QueryBeside(tf.keras.layers.Layer):
    """A query tower and the history's mean linear vector: columns -> float32 [B, W + D + 1] of length 1."""

    def __init__(self, tower: Any, part: LinearPart) -> None:
        super().__init__()
        self.tower, self.part = tower, part

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        codes = columns[HISTORY]
        vectors = tf.gather(tf.constant(self.part.history), codes)
        mean = tf.squeeze(weighted_mean(vectors, padding_mask(codes, vectors.dtype)), axis=1)
        own = tf.math.l2_normalize(mean, axis=-1) * self.part.ratio
        return tf.math.l2_normalize(tf.concat([self.tower(columns, training=training), own, own[:, :1] * 0], -1), -1)


class ItemBeside(tf.keras.layers.Layer):
    """An item tower and the item's linear vector: columns -> float32 [B, W + D + 1] of length 1."""

    def __init__(self, tower: Any, part: LinearPart) -> None:
        super().__init__()
        self.tower = tower
        rest = np.sqrt(np.maximum(1 - np.sum(part.item**2, axis=1, keepdims=True), 0))
        self.table = np.concatenate([part.item, rest], axis=1).astype(np.float32)

    def call(self, columns: Mapping[str, Any], training: bool = False) -> Any:
        own = tf.squeeze(tf.gather(tf.constant(self.table), columns[ITEM_ID]), axis=1)
        return tf.math.l2_normalize(tf.concat([self.tower(columns, training=training), own], -1), -1)


def choose(
    model: TwoTower, lookup: Lookup, tensors: Tensors, requests: Requests, seen: csr_matrix, width: int
) -> tuple[ChosenLinear | None, dict[str, Any]]:
    """The linear part with the best validation NDCG, if the towers gain more from it than one standard error.

    Args:
        requests: of the validation part.
        seen: bool [n_users, n_items], items that are not ranked.
        width: D at most.

    Returns:
        The part, None if the towers stay alone, and metrics: its name, its ratio, the NDCG without and with it.
    """
    events = requests.events
    queries, vectors = encode_users(model, lookup, events), encode_items(model, lookup, len(tensors.item_ids))
    codes, item_codes = np.asarray(events.moment[HISTORY]), np.asarray(tensors.items[ITEM_ID])[:, 0]
    matrix = _few_users(by_code(tensors))
    if min(matrix.shape) < 2:
        return None, {"linear": "none"}
    parts = [_scaled(factorization(name, matrix, width, SEED)) for name in names(matrix.shape[1])]
    others = [products(part.queries(codes), part.item[item_codes]) for part in parts]
    of = "two_tower with a linear part"
    alone, best = best_mixture(products(queries, vectors), others, RATIOS, requests, seen, of)
    facts: dict[str, Any] = {"linear": "none", "valid_ndcg_without_linear": alone}
    if best is None:
        return None, facts
    chosen = parts[best.other]
    facts |= {"linear": chosen.name, "linear_ratio": best.ratio, "valid_ndcg_with_linear": best.ndcg}
    announce(
        "two_tower", f"after the epochs: fitting the linear part ({chosen.name}) once more, with the validation part"
    )
    every = _few_users(by_code(tensors, KNOWN))
    again = _scaled(factorization(chosen.name, every, chosen.item.shape[1], SEED))
    return ChosenLinear(*(LinearPart(own.history, own.item, best.weight) for own in (chosen, again))), facts


def without_validation(
    model: TwoTower, lookup: Lookup, tensors: Tensors, width: int
) -> tuple[ChosenLinear | None, dict[str, Any]]:
    """The linear part where nothing can be chosen: the last factorization, as much as the towers; None for sequences.

    Of a set, towers learn less than a factorization does; of a sequence far more.
    """
    if tensors.schema[HISTORY].ordered:
        return None, {"linear": "none"}
    events = Events.positives(tensors.interactions("train")).sample(500, SEED)
    queries, vectors = encode_users(model, lookup, events), encode_items(model, lookup, len(tensors.item_ids))
    matrix = _few_users(by_code(tensors))
    if min(matrix.shape) < 2:
        return None, {"linear": "none"}
    factors = _scaled(factorization(names(matrix.shape[1])[-1], matrix, width, SEED))
    of_items = factors.item[np.asarray(tensors.items[ITEM_ID])[:, 0]]
    own = products(factors.queries(np.asarray(events.moment[HISTORY])), of_items)
    towers, linear = (spread(score, len(vectors)) for score in (products(queries, vectors), own))
    part = LinearPart(factors.history, factors.item, towers / max(linear, 1e-12))
    return ChosenLinear(part, part), {"linear": factors.name, "linear_ratio": 1.0}


def by_code(tensors: Tensors, parts: Sequence[Split] = ("train",)) -> csr_matrix:
    """The positives of ``parts``, float32 [U, C] of 0 and 1, users with any; codes of no single item are empty.

    Items that share a code share a column.
    """
    from scipy.sparse import csr_matrix

    events = [Events.positives(tensors.interactions(part)) for part in parts]
    users, items = (np.concatenate([getattr(part, name) for part in events]) for name in ("user_row", "item_row"))
    codes = np.asarray(tensors.items[ITEM_ID])[:, 0][items]
    users, codes = users[codes >= FIRST_CODE], codes[codes >= FIRST_CODE]
    shape = len(tensors.user_ids), tensors.schema[HISTORY].cardinality
    matrix = csr_matrix((np.ones(len(users), np.float32), (users, codes)), shape=shape)
    matrix.data[:] = 1
    return matrix[np.flatnonzero(np.diff(matrix.indptr))]


def _few_users(matrix: csr_matrix) -> csr_matrix:
    """``matrix`` [U, C] with users drawn so that about `MOST_POSITIVES` are left."""
    if matrix.nnz <= MOST_POSITIVES:
        return matrix
    return matrix[np.random.default_rng(SEED).random(matrix.shape[0]) < MOST_POSITIVES / matrix.nnz]


def _scaled(factors: Factors) -> Factors:
    """``factors`` whose longest item vector has length 1."""
    return replace(factors, item=factors.item / np.linalg.norm(factors.item, axis=1).max())
