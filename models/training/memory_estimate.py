"""An estimate of the memory that a training takes, made before any of it is allocated.

Embedding tables dominate. They are held once as parameters, twice as Adam's moments and once as the moving average of
the weights (with ``training.average``); Keras needs three more copies for a moment when it loads the best weights.
Gradients need less: one dense copy, because Adam updates every row. Activations are a rough count: each number of a
batch, its gradient and one temporary. With gradient checkpointing only one slice of the batch is counted, with a fourth
copy, plus the memory of the additional TensorFlow graphs. With several workers, each holds the whole model, its share
of the batch and the gradients that it receives from the others.

What depends on the model is reported by the model itself, see `StepSize`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.errors import ConfigError
from ...core.memory import GB, available, by_whom
from ..config import TrainingConfig
from .gradient_checkpointing import SLICES
from .worker_group import worker_group

FLOAT = 4
"""Bytes of a float32."""
MOMENTS, LOADING, PER_BATCH, PER_SLICE = 2, 3, 3, 4
"""Copies: of the parameters by Adam, of the parameters while weights are loaded, of a batch, of a recomputed slice."""
GRAPHS = 150_000_000
"""Bytes that TensorFlow takes for the graphs of a step with gradient checkpointing; measured."""
WIDTHS = {
    "two_tower": "two_tower.user_tower.emb_dims and two_tower.item_tower.emb_dims",
    "ranker": "dlrm_ranker.embedding_dims",
}
"""Name of a training -> the config keys that set the width of its embedding tables."""


@dataclass(frozen=True)
class StepSize:
    """How many numbers (float32) a training step holds for some rows of a batch.

    A model reports it by a method ``step_size(rows: int, others: int) -> StepSize``: ``rows`` are the rows that one
    worker computes, ``others`` the rows of the whole batch that each of them is compared with, 0 to leave that out. A
    model without the method is estimated by its parameters only.
    """

    numbers: int = 0
    """Embeddings, layer outputs and scores."""
    recomputed: float = 0
    """Of these, what ``training.recompute`` computes again, one slice of the batch at a time."""
    kept: float = 0
    """What is still held for the whole batch when those are recomputed."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes that a training takes in addition to what the process holds already (the training rows, for example)."""

    tables: Mapping[str, int]
    """Embedding table -> bytes of its parameters."""
    shapes: Mapping[str, tuple[int, int]]
    """Embedding table -> rows and width."""
    parameters: int
    optimizer: int
    """Adam's moments and the moving average of the weights."""
    working: int
    """Gradients of a step, or the copies made when weights are loaded, whichever is more; and accumulated gradients."""
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
    """The memory that each of ``workers`` needs. The model may be unbuilt: its tables then take no memory yet."""
    from .._merlin import mm

    found = {t.name: t for t in model.submodules if isinstance(t, mm.EmbeddingTable)}
    shapes = {name: (int(t.input_dim), int(t.dim)) for name, t in found.items()}
    tables = {name: FLOAT * rows * width for name, (rows, width) in shapes.items()}
    whole = config.batch_size
    part = -(-whole // workers)
    size, received = step_size(model, part, whole), step_size(model, whole - part, 0).numbers
    parameters = sum(tables.values()) + FLOAT * dense_parameters(model)
    sums = FLOAT * (size.numbers + received) * config.accumulate if config.accumulate > 1 else 0
    activations = FLOAT * (PER_BATCH * size.numbers + received)
    if config.recompute:
        saved = PER_BATCH * (size.recomputed - size.kept) - PER_SLICE * size.recomputed / SLICES
        activations += GRAPHS - FLOAT * int(saved)
    copies = (MOMENTS + bool(config.average)) * parameters
    return MemoryEstimate(tables, shapes, parameters, copies, LOADING * parameters + sums, activations)


def step_size(model: Any, rows: int, others: int) -> StepSize:
    """What the model reports, or zeros for a model that reports nothing; see `StepSize`."""
    report = getattr(model, "step_size", None)
    return report(rows, others) if report else StepSize()


def dense_parameters(model: Any) -> int:
    """An upper bound: each dense layer is taken to read as many numbers as the widest one outputs."""
    widths = dense_widths(model)
    return sum(widths) * max(widths, default=0)


def dense_widths(model: Any) -> list[int]:
    """The output width of each dense layer."""
    from .._merlin import tf

    return [int(part.units) for part in model.submodules if isinstance(part, tf.keras.layers.Dense)]


def check_memory(title: str, model: Any, config: TrainingConfig) -> MemoryEstimate:
    """The estimate, if there is that much memory, see `core.memory`. Not checked with a GPU, which has the tables.

    Raises:
        ConfigError: with the memory needed and available, the largest tables, and the config keys to lower.
    """
    from .._merlin import tf

    own = worker_group()
    found, free = estimate(model, config, own.count), available() // own.on_this_machine
    if found.total > free and not tf.config.list_physical_devices("GPU"):
        section = "dlrm_ranker" if title == "ranker" else title
        lower = WIDTHS.get(title, f"{section}'s widths")
        if found.activations > found.total / 2:
            lower = f"{section}.training.batch_size"
            if not config.recompute and step_size(model, 1, 0).recomputed:
                lower += f", or set {section}.training.recompute: true"
        each = f" for each of {own.on_this_machine} workers on this machine" if own.on_this_machine > 1 else ""
        raise ConfigError(
            f"{title}: training needs {found.total / GB:.2f} GB of memory{each}, {free / GB:.2f} GB are {by_whom()} "
            f"({found}): lower {lower}"
        )
    return found
