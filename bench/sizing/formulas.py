"""The formulas of the sizing card: capacity, cost and memory from a few measured figures.

Formulas and symbols are those of the practitioner's guide that this project follows: t_infer is the machine's time for
one request in seconds, U the planned utilization (0 to 1), c the price of a machine per hour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ...core.errors import ConfigError

BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
"""Bytes of one number."""
OPTIMIZER_COPIES = {"sgd": 0, "momentum": 1, "adagrad": 1, "adam": 2}
"""Numbers that an optimizer keeps for each parameter."""
GIB = 2**30
GUIDE_MEMORY_GB = (24, 48, 80)
GUIDE_DIMS = (64, 128)
EMBEDDING_SHARE = 0.75
"""Share of a device's memory that the guide reserves for embeddings."""
PHASES = {
    "features": ("lookup_user", "transform"),
    "ann": ("encode_query", "retrieve", "merge_neighbours", "drop_seen"),
    "join": ("lookup_items",),
    "rank": ("rank",),
    "rules": ("order", "respond"),
    "transport": ("unpack", "pack"),
}
"""The terms of the guide's latency formula -> stages of our graph. Transport is between Triton and the graph."""


@dataclass(frozen=True)
class Table:
    """One embedding table."""

    name: str
    rows: int
    dim: int

    @classmethod
    def parse(cls, text: str) -> Table:
        """Parse ``NAME=ROWSxDIM``.

        Raises:
            ConfigError: if the text has another form.
        """
        name, equals, size = text.partition("=")
        rows, times, dim = size.partition("x")
        if not (name and equals and times and rows.isdigit() and dim.isdigit() and int(rows) and int(dim)):
            raise ConfigError(f"--table: expected NAME=ROWSxDIM, e.g. item_id=1000000x64, got {text!r}")
        return cls(name, int(rows), int(dim))


def requests_per_s(t_infer: float, utilization: float) -> float:
    """Requests per second of one machine: U / t_infer."""
    return utilization / t_infer


def cost_per_million(t_infer: float, utilization: float, price_per_hour: float) -> float:
    """Price of a million requests, in the currency of ``price_per_hour``: c * 1e6 * t_infer / (3600 * U)."""
    return price_per_hour * 1e6 * t_infer / (3600 * utilization)


def machines(qps: float, t_infer: float, utilization: float) -> int:
    """Machines needed for ``qps`` requests per second: ceil(QPS * t_infer / U)."""
    # Rounded first: 700 requests at 1 ms and U = 0.7 fill one machine, but in floats they give 1.0000000000000002.
    return max(1, math.ceil(round(qps * t_infer / utilization, 9)))


def epoch_seconds(samples: int, samples_per_s: float, devices: int, utilization: float) -> float:
    """Seconds of an epoch: T_epoch = N / (samples per second of a device * devices * U)."""
    return samples / (samples_per_s * devices * utilization)


def parameter_bytes(tables: Iterable[Table], dtype: str) -> int:
    """Bytes of the tables: Mem_params = sum of |V_i| * d_i * bytes."""
    return sum(table.rows * table.dim for table in tables) * BYTES[dtype]


def training_bytes(tables: Iterable[Table], dtype: str, optimizer: str) -> dict[str, int]:
    """Bytes of parameters, dense gradients and optimizer state (two copies for Adam), and their total.

    Activations are not included, since they depend on the batch size and not on the tables.
    """
    parameters = parameter_bytes(tables, dtype)
    parts = {"parameters": parameters, "gradients": parameters, "optimizer": OPTIMIZER_COPIES[optimizer] * parameters}
    return {**parts, "total": sum(parts.values())}


def embeddings_that_fit(memory_gb: float, dim: int, dtype: str, share: float = EMBEDDING_SHARE) -> int:
    """The number of embeddings of ``dim`` numbers that fit into ``share`` of a device's memory.

    The guide's gigabytes are 2^30 bytes: 75 % of 24 GB hold 151 million embeddings of 64 fp16 numbers (128 bytes each).
    """
    return int(memory_gb * GIB * share // (dim * BYTES[dtype]))


def latency_ms(stages_ms: Mapping[str, float]) -> dict[str, float]:
    """Latency_total = t_features + t_ann + t_join + t_rank + t_rules + t_transport, in ms: each term and the total.

    Raises:
        ConfigError: if a stage belongs to none of the terms.
    """
    known = {stage for stages in PHASES.values() for stage in stages}
    unknown = [stage for stage in stages_ms if stage not in known]
    if unknown:
        raise ConfigError(f"stages_ms: expected stages among {', '.join(sorted(known))}, got {', '.join(unknown)}")
    parts = {phase: sum(stages_ms.get(stage, 0.0) for stage in stages) for phase, stages in PHASES.items()}
    return {**parts, "total": sum(parts.values())}
