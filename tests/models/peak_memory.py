"""Train a retriever with a large embedding table; print the memory estimate and the measured peak in bytes.

Run in a separate process. Arguments: rows of the item table, optimizer of the embeddings.
"""

import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from cascade.core.features import Feature, FeatureSchema
from cascade.models._merlin import tf
from cascade.models.config import TowerConfig, TrainingConfig, TwoTowerConfig
from cascade.models.layers.feature_gather import Lookup
from cascade.models.retriever.negatives import Catalogue
from cascade.models.retriever.objective import Objective
from cascade.models.retriever.training import make_step
from cascade.models.retriever.two_tower import build
from cascade.models.training.loop import fit, prepare, shuffled
from cascade.models.training.memory_estimate import estimate
from cascade.models.training.rows import Events
from cascade.workflows.etl.tensors import Tensors


def train(rows, rule):
    """The estimated total, and by how much the process grew at its peak; bytes."""
    schema = FeatureSchema(
        (Feature("user_id", "user", "categorical", 100), Feature("item_id", "item", "categorical", rows))
    )
    codes = {"users": np.arange(100, dtype="i4"), "items": np.arange(rows, dtype="i4")}
    users, items = {"user_id": codes["users"][:, None]}, {"item_id": codes["items"][:, None]}
    tensors = Tensors(Path(), schema, users, items, codes["users"], codes["items"], np.ones(rows, np.int64))
    tower = TowerConfig(default_dim=64, mlp=[64])
    training = TrainingConfig(epochs=2, batch_size=256, embedding_optimizer=rule)
    config = TwoTowerConfig(user_tower=tower, item_tower=tower, training=training)
    rng = np.random.default_rng(0)
    events = Events(rng.integers(0, 100, 2048, "i4"), rng.integers(0, rows, 2048, "i4"), np.ones(2048, "f4"), {})
    prepare(0)
    model = build(schema, config)
    objective = Objective(config, tensors.item_counts, Catalogue(tensors.item_counts, 0.0), 256, 8)
    step = make_step(model, Lookup(tensors), config, objective)

    def batches(drawn):
        for at in shuffled(len(events), 256, drawn):
            yield {**events.take(at).queries(), "item_row": events.item_row[at]}

    with Peak() as peak, tempfile.TemporaryDirectory() as folder:
        fit(model, training, "two_tower", 8, batches, step, None, Path(folder) / "checkpoint")
    return estimate(model, training).total, peak.grown


class Peak:
    """Largest growth of this process's anonymous memory in bytes; pages of mapped files can be evicted at any time."""

    def __enter__(self):
        self.grown, self.before, self.stop = 0, own_pages(), threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.stop.wait(0.005):
            self.grown = max(self.grown, own_pages() - self.before)

    def __exit__(self, *error):
        self.stop.set()
        self.thread.join()


def own_pages():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    tf.constant(1.0) + 1  # allocates TensorFlow's own buffers
    print(*train(int(sys.argv[1]), sys.argv[2]))
