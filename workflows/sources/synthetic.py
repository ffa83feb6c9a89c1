"""Source ``synthetic``: a shop with known click probabilities.

Users and items have latent vectors z_u and q_i (float32 [DIM]). The category and the brand of an item shift q_i, the
region of a user shifts z_u. A user is shown items drawn by popularity, half of them from the categories nearest to
z_u, and clicks with probability sigmoid(logit):

    logit = BIAS + AFFINITY z_u . q_i + 2 discount - 0.4 price' (1 - 0.5 age_norm) + 0.5 session_time' [device is app]

A prime means standardized. So every column is informative, and no model can rank impressions better than the
probability itself does: its AUC is the best possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..config import DataConfig, SyntheticConfig
from .source import Source

if TYPE_CHECKING:
    import pyarrow as pa

DIM = 8
BIAS, AFFINITY = -1.5, 1.5
GEOS = np.array(["north", "south", "east", "west", "center", "islands"])
DEVICES = np.array(["app", "mobile", "desktop"])
CATEGORIES = 24
BRANDS = 60
CHUNK_ROWS = 262_144
START = 1_700_000_000
"""The earliest possible event, in seconds since 1970."""
PERIOD = 90 * 86_400
"""Seconds from the first to the last possible event."""
BINS = 4096
"""Bins of the click probability, for its AUC."""


@dataclass(frozen=True)
class Shop:
    """The users and items, and their hidden properties."""

    users: dict[str, NDArray[Any]]
    items: dict[str, NDArray[Any]]
    tastes: NDArray[np.float32]
    """[n_users, DIM], z_u."""
    traits: NDArray[np.float32]
    """[n_items, DIM], q_i."""
    best: NDArray[np.int64]
    """[n_users, 3]: the categories nearest to the user."""
    popular: NDArray[np.float64]
    """[n_items + 1]: cumulative popularity; the items are sorted by category."""
    starts: NDArray[np.int64]
    """[CATEGORIES + 1]: the first item of each category."""


def open_source(config: DataConfig) -> Source:
    """The shop of ``data.synthetic``; reading the interactions sets the metrics ``best_auc`` and ``click_rate``."""
    import pyarrow as pa

    options = config.synthetic
    shop = build_shop(options)
    metrics: dict[str, Any] = {}

    def chunks() -> Iterator[pa.Table]:
        yield from _chunks(shop, options, metrics)

    return Source(chunks, options.interactions, pa.table(shop.users), pa.table(shop.items), metrics)


def sizes(options: SyntheticConfig) -> tuple[int, int]:
    """The numbers of users and items."""
    users = options.users or max(options.interactions // 50, 1)
    return users, options.items or min(max(options.interactions // 100, CATEGORIES), 100_000)


def build_shop(options: SyntheticConfig) -> Shop:
    """Draw the users and items."""
    n_users, n_items = sizes(options)
    rng = np.random.default_rng([options.seed, 0])
    centers = rng.normal(size=(CATEGORIES, DIM))
    category = np.sort(rng.integers(0, CATEGORIES, n_items))
    brand = rng.integers(0, BRANDS, n_items)
    traits = 0.7 * centers[category] + 0.5 * rng.normal(size=(BRANDS, DIM))[brand]
    traits += 0.5 * rng.normal(size=(n_items, DIM))
    geo = rng.integers(0, len(GEOS), n_users)
    tastes = 0.6 * rng.normal(size=(len(GEOS), DIM))[geo] + 0.8 * rng.normal(size=(n_users, DIM))
    traits, tastes = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (traits, tastes))
    weight = 1 / (1 + rng.permutation(n_items)) ** 0.7
    items = {
        "item_id": np.arange(n_items) + 1,
        "brand": np.char.add("brand-", brand.astype(str)),
        "category": np.char.add("category-", category.astype(str)),
        "price": np.round(np.exp(rng.normal(3, 0.8, n_items)), 2),
        "discount": rng.choice([0.0, 0.0, 0.1, 0.2, 0.3, 0.5], n_items),
    }
    users = {"user_id": np.arange(n_users) + 1, "age_norm": np.round(rng.normal(size=n_users), 4), "geo": GEOS[geo]}
    best = np.argsort(-tastes @ centers.T, axis=1)[:, :3]
    starts = np.searchsorted(category, np.arange(CATEGORIES + 1))
    return Shop(users, items, tastes.astype("f4"), traits.astype("f4"), best, np.append(0, weight.cumsum()), starts)


def _chunks(shop: Shop, options: SyntheticConfig, metrics: dict[str, Any]) -> Iterator[pa.Table]:
    """The interactions: users ascending, each user's in random order."""
    import pyarrow as pa

    n_users = len(shop.tastes)
    rng = np.random.default_rng([options.seed, 1])
    activity = rng.gamma(2.0, size=n_users) + 0.2
    counts = rng.multinomial(options.interactions, activity / activity.sum())
    ends = counts.cumsum()
    clicks, shown = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    for number, first in enumerate(range(0, options.interactions, CHUNK_ROWS)):
        rows = np.arange(first, min(first + CHUNK_ROWS, options.interactions))
        user = np.searchsorted(ends, rows, side="right")
        columns, probability = impressions(shop, user, np.random.default_rng([options.seed, 2, number]))
        bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
        shown += np.bincount(bins, minlength=BINS)
        clicks += np.bincount(bins, columns["label"], minlength=BINS).astype(np.int64)
        yield pa.table(columns)
    metrics |= {"best_auc": binned_auc(clicks, shown - clicks), "click_rate": float(clicks.sum() / shown.sum())}


def impressions(
    shop: Shop, user: NDArray[np.int64], rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float64]]:
    """Draw an impression for each of ``user`` [n], rows of the users table.

    Returns:
        The columns of interactions, and the click probabilities [n].
    """
    n = len(user)
    item = _draw_items(shop, user, rng)
    device = rng.integers(0, len(DEVICES), n)
    session = np.round(rng.exponential(8.0, n), 2)
    price = (np.log(shop.items["price"][item]) - 3) / 0.8
    logit = BIAS + AFFINITY * 2 * np.einsum("nd,nd->n", shop.tastes[user], shop.traits[item])
    logit += 2 * shop.items["discount"][item] - 0.4 * price * (1 - 0.5 * shop.users["age_norm"][user])
    logit += 0.5 * (session - 8) / 8 * (device == 0)
    probability = 1 / (1 + np.exp(-logit))
    columns = {
        "user_id": shop.users["user_id"][user],
        "item_id": shop.items["item_id"][item],
        "timestamp": START + rng.integers(0, PERIOD, n),
        "session_time": session,
        "device": DEVICES[device],
        "label": (rng.random(n) < probability).astype(np.int64),
    }
    return columns, probability


def _draw_items(shop: Shop, user: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw item rows [n] by popularity, half from the whole catalogue and half from one of the user's categories."""
    n = len(user)
    category = shop.best[user, rng.integers(0, shop.best.shape[1], n)]
    anywhere = (rng.random(n) < 0.5) | (shop.starts[category] == shop.starts[category + 1])
    low = np.where(anywhere, 0, shop.starts[category])
    high = np.where(anywhere, len(shop.popular) - 1, shop.starts[category + 1])
    drawn = shop.popular[low] + rng.random(n) * (shop.popular[high] - shop.popular[low])
    return np.asarray(np.clip(np.searchsorted(shop.popular, drawn, side="right") - 1, low, high - 1))


def binned_auc(clicks: NDArray[np.int64], others: NDArray[np.int64]) -> float:
    """The area under the ROC curve, from counts [bins] by ascending score; a tie within a bin counts one half."""
    below = np.cumsum(others) - others
    return float(np.sum(clicks * (below + others / 2)) / (clicks.sum() * others.sum()))
