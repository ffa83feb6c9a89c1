"""The sizing card: the guide's formulas, evaluated with measured figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.errors import ConfigError
from . import formulas
from .formulas import Table

LAST_BENCH = Path("bench") / "last.json"
"""The report of the last `cascade bench`, below the folder of runs."""


@dataclass(frozen=True)
class Measured:
    """The figures of a load test of one machine."""

    t_infer: float
    """Seconds of the machine's time for one request."""
    source: str
    """Where ``t_infer`` comes from."""
    stages_ms: Mapping[str, float]
    """Stage -> milliseconds per request."""

    @classmethod
    def last_bench(cls, runs: Path) -> Measured:
        """Read the best point with one user a request from the last `cascade bench`.

        Raises:
            ConfigError: if there is no report or no such point.
        """
        file = runs / LAST_BENCH
        if not file.is_file():
            raise ConfigError(f"--t-infer-ms: not given, and {file} does not exist; run `cascade bench` or give it")
        report = json.loads(file.read_text())
        points = [point for point in report["points"] if point["batch"] == 1 and not point["errors"]]
        if not points:
            raise ConfigError(f"{file}: expected a point of one user a request without errors; run the bench again")
        best = max(points, key=lambda point: float(point["requests_per_s"]))
        rate = float(best["requests_per_s"])
        stages = {name: value for name, value in report["stages_ms"].items() if name != "total"}
        return cls(1 / rate, f"{rate:.0f} requests/s at {best['mode']} {best['level']}, {best['layout']}", stages)


@dataclass(frozen=True)
class SizingInputs:
    """What is to be sized. Sections whose inputs are None are left out of the card."""

    utilization: float = 0.7
    """Planned utilization of a machine, above 0 and at most 1."""
    price_per_hour: float | None = None
    """Of a machine, in any currency."""
    qps: float | None = None
    """Requests per second to serve."""
    tables: Sequence[Table] = ()
    """Embedding tables."""
    dtype: str = "fp16"
    """Of the embeddings."""
    optimizer: str = "adam"
    samples: int | None = None
    """Training samples of an epoch."""
    samples_per_s: float | None = None
    """Training throughput of one device."""
    devices: int = 1
    """Devices used for training."""

    def __post_init__(self) -> None:
        if not 0 < self.utilization <= 1:
            raise ConfigError(f"--utilization: expected above 0 and at most 1, got {self.utilization:g}")
        if (self.samples is None) != (self.samples_per_s is None):
            raise ConfigError("--samples and --samples-per-s: expected both or neither, got one of them")


def card(measured: Measured, inputs: SizingInputs) -> dict[str, Any]:
    """The sections of the card."""
    use = inputs.utilization
    serving: dict[str, Any] = {
        "t_infer_ms": 1000 * measured.t_infer,
        "measured": measured.source,
        "utilization": use,
        "requests_per_s": formulas.requests_per_s(measured.t_infer, use),
    }
    if inputs.price_per_hour is not None:
        serving["cost_per_million"] = formulas.cost_per_million(measured.t_infer, use, inputs.price_per_hour)
    if inputs.qps is not None:
        serving["machines"] = formulas.machines(inputs.qps, measured.t_infer, use)
        if inputs.price_per_hour is not None:
            serving["price_per_hour"] = serving["machines"] * inputs.price_per_hour
    found = {"serving": serving}
    if measured.stages_ms:
        found["latency_ms"] = formulas.latency_ms(measured.stages_ms)
    if inputs.tables:
        found["memory_gib"] = {"dtype": inputs.dtype, "optimizer": inputs.optimizer, **_memory(inputs)}
    if inputs.samples is not None and inputs.samples_per_s is not None:
        seconds = formulas.epoch_seconds(inputs.samples, inputs.samples_per_s, inputs.devices, use)
        found["training"] = {"epoch_s": seconds, "devices": inputs.devices}
    return {**found, "embeddings_millions": guide_table(inputs.dtype)}


def guide_table(dtype: str) -> dict[str, dict[str, float]]:
    """Millions of embeddings that fit into 75 % of a device's memory; for fp16 it equals the guide's table."""
    return {
        f"{memory} GB": {
            f"dim {dim}": formulas.embeddings_that_fit(memory, dim, dtype) / 1e6 for dim in formulas.GUIDE_DIMS
        }
        for memory in formulas.GUIDE_MEMORY_GB
    }


def _memory(inputs: SizingInputs) -> dict[str, float]:
    """GiB of each table, and of training all of them."""
    tables = {table.name: formulas.parameter_bytes([table], inputs.dtype) for table in inputs.tables}
    training = formulas.training_bytes(inputs.tables, inputs.dtype, inputs.optimizer)
    parts = {**tables, **{f"training: {name}": size for name, size in training.items()}}
    return {name: size / formulas.GIB for name, size in parts.items()}
