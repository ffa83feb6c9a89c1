"""What a training will take of the machine's memory, known before it takes any.

Embedding tables are nearly all of it: one copy of the parameters, two of Adam's moments, one of their average with
``average``, and for a moment three more: when Keras reads the best weights back. A step takes less: Adam, which moves
every row, makes one copy, of gradients. Activations are rough: each number of a batch, its gradient and one to work
with. What is recomputed is there for a slice of the batch, with one number more; its step is several graphs, which take
memory of their own. Of several workers each holds the whole model, its part of a batch, and what it gets of the others'
gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from ...core.features import Feature
from ..config import TrainingConfig
from .gradient_checkpointing import SLICES
from .worker_group import team

FLOAT = 4
GB = 1e9
MOMENTS, READING, OF_BATCH, OF_SLICE = 2, 3, 3, 4
GRAPHS = 150_000_000
"""Bytes that TensorFlow takes for the graphs of a step that recomputes."""
CGROUP = Path("/sys/fs/cgroup")
WIDTHS = {
    "two_tower": "two_tower.user_tower.emb_dims and two_tower.item_tower.emb_dims",
    "ranker": "dlrm_ranker.embedding_dims",
}
"""Training -> the keys that say how wide its tables are."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes, beyond what the process holds already, which the training rows are among."""

    tables: Mapping[str, int]
    """Embedding table -> its parameters."""
    shapes: Mapping[str, tuple[int, int]]
    """Embedding table -> rows and width."""
    parameters: int
    optimizer: int
    working: int
    """Gradients of a step, or the weights on their way from a file, which is more."""
    activations: int

    @property
    def total(self) -> int:
        return self.parameters + self.optimizer + self.working + self.activations

    def __str__(self) -> str:
        largest = sorted(self.tables, key=lambda name: -self.tables[name])[:3]
        tables = (f"{name} {self.shapes[name][0]:,} x {self.shapes[name][1]}" for name in largest)
        parts = ("parameters", "optimizer", "working", "activations")
        sizes = ", ".join(f"{part} {getattr(self, part) / GB:.2f} GB" for part in parts)
        return f"{sizes}; largest tables {', '.join(tables)}"


def estimate(model: Any, config: TrainingConfig, workers: int = 1) -> MemoryEstimate:
    """Of one worker, for a model that is described and not built: its tables take no memory yet."""
    from .._merlin import mm

    found = {t.name: t for t in model.submodules if isinstance(t, mm.EmbeddingTable)}
    shapes = {name: (int(t.input_dim), int(t.dim)) for name, t in found.items()}
    tables = {name: FLOAT * rows * width for name, (rows, width) in shapes.items()}
    whole = config.batch_size
    part = -(-whole // workers)
    numbers, dense = batch_numbers(model, part, whole), FLOAT * dense_numbers(model)
    received = batch_numbers(model, whole - part, 0)
    parameters = sum(tables.values()) + dense
    sums = FLOAT * (numbers + received) * config.accumulate if config.accumulate > 1 else 0
    activations = FLOAT * (OF_BATCH * numbers + received)
    if config.recompute:
        again, kept = recomputed(model, part)
        saved = OF_BATCH * (again - kept) - OF_SLICE * again / SLICES
        activations += GRAPHS - FLOAT * int(saved)
    copies = (MOMENTS + bool(config.average)) * parameters
    return MemoryEstimate(tables, shapes, parameters, copies, READING * parameters + sums, activations)


def recomputed(model: Any, rows: int) -> tuple[float, float]:
    """Of the numbers that ``rows`` are: those that are recomputed, and what is there of them for the whole batch.

    That is what a history's reading gives, or the gradients of the ranker's embeddings: rows of tables, each at most
    once for a slice.
    """
    from ..retriever.history_encoder import History

    if not hasattr(model, "candidate"):
        looked_up = (min(rows * f.dims[0], SLICES * f.cardinality) * dim for f, dim in widths(model))
        return batch_numbers(model, rows, 0), sum(looked_up)
    histories = [part for part in model.submodules if isinstance(part, History)]
    return rows * sum(part.numbers for part in histories), rows * sum(part.kept for part in histories)


def widths(model: Any) -> list[tuple[Feature, int]]:
    """The features that have vectors, and how wide these are."""
    from ..layers.feature_vectors import FeatureVectors
    from ..layers.schema import vocabulary

    sides = [part for part in model.submodules if isinstance(part, FeatureVectors)]
    return [(f, int(side.tables[vocabulary(f)].dim)) for side in sides for f in side.features]


def batch_numbers(model: Any, rows: int, others: int) -> int:
    """Numbers that ``rows`` are on their way through the model: embeddings, layers, a retriever's against ``others``.

    ``rows`` are of one worker, ``others`` of the whole batch.
    """
    from ..ranker.target_attention import TargetAttention
    from ..retriever.history_encoder import History

    embedded = sum(f.dims[0] + dim if f.kind == "vector" else f.dims[0] * dim for f, dim in widths(model))
    histories = sum(int(part.numbers) for part in model.submodules if isinstance(part, (History, TargetAttention)))
    compared = others if hasattr(model, "candidate") else 0
    return rows * (embedded + histories + sum(dense_widths(model)) + compared)


def dense_numbers(model: Any) -> int:
    """Weights of the dense layers, each taken to read as much as the widest gives."""
    widths = dense_widths(model)
    return sum(widths) * max(widths, default=0)


def dense_widths(model: Any) -> list[int]:
    from .._merlin import tf

    return [int(part.units) for part in model.submodules if isinstance(part, tf.keras.layers.Dense)]


def check_memory(title: str, model: Any, config: TrainingConfig) -> MemoryEstimate:
    """The estimate, if it fits into what the machine has left; nothing is checked where the tables are on a GPU.

    Raises:
        ConfigError: naming the largest tables, what is needed, what there is and the keys to lower.
    """
    from .._merlin import tf

    own = team()
    found, free = estimate(model, config, own.count), available() // own.on_this_machine
    if found.total > free and not tf.config.list_physical_devices("GPU"):
        section = "dlrm_ranker" if title == "ranker" else title
        lower = WIDTHS.get(title, f"{section}'s widths")
        if found.activations > found.total / 2:
            lower = f"{section}.training.batch_size"
            if not config.recompute and recomputed(model, 1)[0]:
                lower += f", or set {section}.training.recompute: true"
        each = f" for each of {own.on_this_machine} workers on this machine" if own.on_this_machine > 1 else ""
        raise ConfigError(
            f"{title}: training needs {found.total / GB:.2f} GB of memory{each}, {free / GB:.2f} GB are available "
            f"({found}): lower {lower}"
        )
    return found


def available() -> int:
    """Bytes that this process can still take: of the machine's memory and of its control group's limit."""
    import psutil

    free = int(psutil.virtual_memory().available)
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (most := limit.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return free
