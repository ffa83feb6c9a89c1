"""Compare the training speed of our models with Merlin Models' `fit` on the same data, in samples per second.

Run it from the repository's root on an idle machine: ``.venv/bin/python tests/benchmarks/training.py``. Both train the
same architecture at the same batch size: a two-tower retriever with in-batch softmax, and DLRM on clicks. Merlin
computes its default metrics. The first epoch, which compiles, is not timed; an epoch lasts until the start of the next.
Merlin's model always takes one row for each user; ours is also measured with more rows and with larger batches. Rankers
are compared by their AUC on held-out clicks. Ours must be at least twice as fast; the exit code is 1 if it is not.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from cascade.core.features import Feature, FeatureSchema
from cascade.models._merlin import mm, tf
from cascade.models.config import (
    DlrmConfig,
    RankerTrainingConfig,
    TowerConfig,
    TrainingConfig,
    TwoTowerConfig,
)
from cascade.models.layers.feature_gather import Lookup
from cascade.models.layers.schema import merlin_column
from cascade.models.training.loop import fit, prepare, shuffled
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors

BAR = 2.0
RATE, SIZE, LARGE = 1e-3, 8192, 32768
"""Learning rate, rows of a ranker's batch, and of a larger one, whose rate is scaled by the root of their ratio."""
HELD_OUT = 0.1
"""Share of the events that are held out."""
OF_CITY = 0.8
"""Share of the users who have the taste of their city."""
CANDIDATES = 23
"""Rows for each user that the ranker draws by default: a positive and its negatives."""
USERS, ITEMS = 100_000, 50_000
TOWER, DIM, BOTTOM, TOP = [128, 64], 64, [128, 64], [128, 64]
SCHEMA = FeatureSchema(
    (
        Feature("user_id", "user", "categorical", USERS),
        Feature("city", "user", "categorical", 100),
        Feature("age", "user", "continuous"),
        Feature("income", "user", "continuous"),
        Feature("hour", "context", "continuous"),
        Feature("item_id", "item", "categorical", ITEMS),
        Feature("category", "item", "categorical", 50),
        Feature("brand", "item", "categorical", 1000),
    )
)
"""Only users and contexts have continuous features: our ranker has a bottom network for each side, Merlin's has one."""


@dataclass(frozen=True)
class Shop:
    """Synthetic clicks: each user prefers a category, usually that of the city, and popular items are shown more often.

    The best possible AUC on the held-out part is .78, and .72 for a model that knows only the cities' categories.
    """

    tensors: Tensors
    events: Events
    held_out: Events

    @classmethod
    def make(cls, rows: int) -> "Shop":
        """Draw a shop with ``rows`` training events."""
        rng, count = np.random.default_rng(0), round(rows / (1 - HELD_OUT))
        numbers = {"age": rng.normal(size=USERS), "income": rng.normal(size=USERS)}
        users = {"user_id": np.arange(USERS), "city": rng.integers(0, 100, USERS), **numbers}
        items = {
            "item_id": np.arange(ITEMS),
            "category": np.arange(ITEMS) % 50,
            "brand": rng.integers(0, 1000, ITEMS),
        }
        taste = np.where(rng.random(USERS) < OF_CITY, users["city"], rng.integers(0, 50, USERS)) % 50
        user = rng.integers(0, USERS, count)
        item = (ITEMS * rng.random(count) ** 2).astype(int) // 50 * 50
        item += np.where(rng.random(count) < 0.5, taste[user], rng.integers(0, 50, count))
        label = (rng.random(count) < np.where(item % 50 == taste[user], 0.75, 0.2)).astype("f4")
        counts = np.bincount(item, minlength=ITEMS)
        moment = {"hour": rng.normal(size=(count, 1)).astype("f4")}
        tables = (
            {name: values.astype(typed(name))[:, None] for name, values in table.items()} for table in (users, items)
        )
        tensors = Tensors(Path(), SCHEMA, *tables, np.arange(USERS), np.arange(ITEMS), counts)
        events = Events(user.astype("i4"), item.astype("i4"), label, moment)
        return cls(tensors, *(events.take(part) for part in np.split(np.arange(count), [rows])))

    def frame(self, events):
        """The events joined with users and items, as Merlin's loader needs them."""
        import pandas as pd

        at = {"user": events.user_row, "item": events.item_row}
        tables = {"user": self.tensors.users, "item": self.tensors.items}
        columns = {f.name: tables[f.side][f.name][at[f.side], 0] for f in SCHEMA if f.side in at}
        return pd.DataFrame({**columns, "hour": events.moment["hour"][:, 0], "click": events.label})


def typed(name):
    return "i4" if SCHEMA[name].kind == "categorical" else "f4"


def ours_two_tower(shop, options, size):
    from cascade.models.retriever.negatives import Catalogue
    from cascade.models.retriever.objective import Objective
    from cascade.models.retriever.training import make_step
    from cascade.models.retriever.two_tower import build

    tower = TowerConfig(default_dim=DIM, mlp=TOWER, shortcut=False)
    training = TrainingConfig(batch_size=size, epochs=options.epochs, **options.set)
    config = TwoTowerConfig(user_tower=tower, item_tower=tower, loss="softmax", id_dropout=0, training=training)
    prepare(config.training.seed)
    model = build(SCHEMA, config)
    counts = shop.tensors.item_counts
    objective = Objective(config, counts, Catalogue(counts, 0.0), size, len(shop.events) // size)
    step = make_step(model, Lookup(shop.tensors), config, objective)

    def rows(at):
        events = shop.events.take(at)
        return {**events.queries(), "item_row": events.item_row}

    return *ours(model, step, training, rows, len(shop.events)), ""


def ours_ranker(shop, options, size, candidates=1):
    """Train on one candidate for each user, as on impressions, or on several, as on the retriever's candidates."""
    from cascade.models.ranker.dlrm import build
    from cascade.models.ranker.rows import ValidRows
    from cascade.models.ranker.training import make_step, score_rows

    rate = RATE * (size / SIZE) ** 0.5
    training = RankerTrainingConfig(batch_size=size, epochs=options.epochs, learning_rate=rate, **options.set)
    config = DlrmConfig(
        default_dim=DIM, bottom_mlp=BOTTOM, top_mlp=[*TOP, 1], dropout=0, id_dropout=0, training=training
    )
    prepare(config.training.seed)
    model = build(SCHEMA, config)

    def rows(at):
        shown = (at[:, None] + np.arange(candidates)) % len(shop.events)
        label = shop.events.label[shown]
        extra = {"items": shop.events.item_row[shown], "label": label}
        weights = {"log_rate": np.zeros_like(label), "weight": np.ones_like(label)}
        return {**shop.events.take(at).queries(), **extra, **weights}

    lookup, held_out = Lookup(shop.tensors), shop.held_out
    found = ours(model, make_step(model, lookup, config), training, rows, len(shop.events), candidates)
    judged = ValidRows(held_out, held_out.item_row[:, None], held_out.label[:, None] > 0)
    return *found, quality(held_out, score_rows(model, lookup, judged))


def ours(model, step, training, rows, count, candidates=1):
    """Samples per second of the fastest epoch after the first, and the loss of the last epoch."""
    starts, size = [], training.batch_size // candidates
    steps = count // candidates // size

    def batches(rng):
        starts.append(time.perf_counter())
        for at in islice(shuffled(count, size, rng), steps):
            yield rows(at)

    with tempfile.TemporaryDirectory() as folder:
        found = fit(model, training, "ours", steps, batches, step, None, Path(folder) / "made")
    starts.append(time.perf_counter())
    return steps * size * candidates / min(b - a for a, b in list(pairwise(starts))[1:]), found.losses[-1]


def quality(held_out, scores):
    from cascade.models import metrics

    return f", AUC {metrics.auc(scores.ravel(), held_out.label > 0):.4f}"


class Clock(tf.keras.callbacks.Callback):
    """Records when each epoch began, and its loss."""

    def __init__(self):
        super().__init__()
        self.starts, self.losses = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.starts.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])

    def on_train_end(self, logs=None):
        self.starts.append(time.perf_counter())


def scalars(features, *more):
    """Merlin's schema of columns with one value in each row, as its loader needs it."""
    from merlin.schema import ColumnSchema, Schema

    def scalar(column):
        properties = {key: value for key, value in column.properties.items() if key == "domain"}
        return ColumnSchema(column.name, column.tags, properties, column.dtype)

    return Schema([scalar(merlin_column(f)) for f in features] + list(more))


def merlin(model, shop, schema, options, size):
    from merlin.io import Dataset

    frame = shop.frame(shop.events)[schema.column_names]
    model.compile(optimizer=tf.keras.optimizers.Adam(RATE))
    clock = Clock()
    model.fit(Dataset(frame, schema=schema), batch_size=size, epochs=options.epochs, callbacks=[clock], verbose=0)
    return len(frame) / min(b - a for a, b in list(pairwise(clock.starts))[1:]), clock.losses[-1]


def merlin_two_tower(shop, options, size):
    users, items = (scalars(SCHEMA.side(*sides)) for sides in (("user", "context"), ("item",)))

    def encoder(schema):
        from merlin.schema import Tags

        tables = mm.Embeddings(schema.select_by_tag(Tags.CATEGORICAL), dim=DIM)
        inputs = mm.InputBlockV2(schema, categorical=tables)
        return mm.Encoder(inputs, mm.MLPBlock(TOWER, no_activation_last_layer=True), post=mm.L2Norm())

    model = mm.TwoTowerModelV2(encoder(users), encoder(items), logits_temperature=0.1)
    return *merlin(model, shop, users + items, options, size), ""


def merlin_ranker(shop, options, size):
    from merlin.schema import ColumnSchema, Tags

    click = ColumnSchema("click", dtype="float32", tags=[Tags.TARGET, Tags.BINARY_CLASSIFICATION])
    schema = scalars(SCHEMA, click)
    model = mm.DLRMModel(
        schema,
        embedding_dim=DIM,
        bottom_block=mm.MLPBlock(BOTTOM),
        top_block=mm.MLPBlock(TOP),
        prediction_tasks=mm.BinaryOutput("click"),
    )
    from merlin.io import Dataset

    found = merlin(model, shop, schema, options, size)
    held_out = Dataset(shop.frame(shop.held_out)[schema.column_names], schema=schema)
    return *found, quality(shop.held_out, model.predict(held_out, batch_size=size, verbose=0))


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--epochs", type=int, default=3)
    options.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the training sections")
    options.add_argument("--only", choices=["two_tower", "ranker"])
    options = options.parse_args()
    options.set = dict(pair.split("=", 1) for pair in options.set)
    shop, missed = Shop.make(options.rows), False
    mine = {
        f"ranker, {k} rows a user, batches of {size}": partial(ours_ranker, size=size, candidates=k)
        for k, size in ((1, SIZE), (1, LARGE), (CANDIDATES, SIZE))
    }
    pairs = {
        "two_tower": ({"two_tower, batches of 1024": partial(ours_two_tower, size=1024)}, merlin_two_tower, 1024),
        "ranker": (mine, merlin_ranker, SIZE),
    }
    for mine, theirs, size in (pairs[name] for name in pairs if options.only in (None, name)):
        other, other_loss, other_quality = theirs(shop, options, size)
        print(f"merlin, batches of {size}: {other:,.0f} samples/s (loss {other_loss:.4f}{other_quality})", flush=True)
        for name, measure in mine.items():
            rate, loss, own = measure(shop, options)
            print(f"{name}: {rate:,.0f} samples/s (loss {loss:.4f}{own}), ratio {rate / other:.2f}", flush=True)
            missed |= rate < BAR * other
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
