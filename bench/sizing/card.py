"""The sizing card: the guide's formulas with measured figures in them."""

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
"""Below the folder of runs: what `cascade bench` measured last."""


@dataclass(frozen=True)
class Measured:
    """What a load test says of one machine."""

    t_infer: float
    """Seconds of the machine for one request."""
    source: str
    stages_ms: Mapping[str, float]

    @classmethod
    def last_bench(cls, runs: Path) -> Measured:
        """From the best point with one user a request of the last `cascade bench`.

        Raises:
            ConfigError: if there is none.
        """
        file = runs / LAST_BENCH
        if not file.is_file():
            raise ConfigError(f"--t-infer-ms: not given, and {file} is not there; run `cascade bench` or give it")
        report = json.loads(file.read_text())
        points = [point for point in report["points"] if point["batch"] == 1 and not point["errors"]]
        if not points:
            raise ConfigError(f"{file}: expected a point of one user a request without errors; bench again")
        best = max(points, key=lambda point: float(point["requests_per_s"]))
        rate = float(best["requests_per_s"])
        stages = {name: value for name, value in report["stages_ms"].items() if name != "total"}
        return cls(1 / rate, f"{rate:.0f} requests/s at {best['mode']} {best['level']}, {best['layout']}", stages)


@dataclass(frozen=True)
class Plan:
    """What is to be sized."""

    utilization: float = 0.7
    price_per_hour: float | None = None
    qps: float | None = None
    tables: Sequence[Table] = ()
    dtype: str = "fp16"
    optimizer: str = "adam"
    samples: int | None = None
    samples_per_s: float | None = None
    devices: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.utilization <= 1:
            raise ConfigError(f"--utilization: expected above 0 and at most 1, got {self.utilization:g}")
        if (self.samples is None) != (self.samples_per_s is None):
            raise ConfigError("--samples and --samples-per-s: expected both or none, got one of them")


def card(measured: Measured, plan: Plan) -> dict[str, Any]:
    """Everything that follows, by section; sections without inputs are left out."""
    use = plan.utilization
    serving: dict[str, Any] = {
        "t_infer_ms": 1000 * measured.t_infer,
        "measured": measured.source,
        "utilization": use,
        "requests_per_s": formulas.requests_per_s(measured.t_infer, use),
    }
    if plan.price_per_hour is not None:
        serving["cost_per_million"] = formulas.cost_per_million(measured.t_infer, use, plan.price_per_hour)
    if plan.qps is not None:
        serving["machines"] = formulas.machines(plan.qps, measured.t_infer, use)
        if plan.price_per_hour is not None:
            serving["price_per_hour"] = serving["machines"] * plan.price_per_hour
    found = {"serving": serving}
    if measured.stages_ms:
        found["latency_ms"] = formulas.latency_ms(measured.stages_ms)
    if plan.tables:
        found["memory_gib"] = {"dtype": plan.dtype, "optimizer": plan.optimizer, **_memory(plan)}
    if plan.samples is not None and plan.samples_per_s is not None:
        seconds = formulas.epoch_seconds(plan.samples, plan.samples_per_s, plan.devices, use)
        found["training"] = {"epoch_s": seconds, "devices": plan.devices}
    return {**found, "embeddings_millions": guide_table(plan.dtype)}


def guide_table(dtype: str) -> dict[str, dict[str, float]]:
    """Millions of embeddings in 75 % of a device's memory; at fp16 it is the guide's own table."""
    return {
        f"{memory} GB": {
            f"dim {dim}": formulas.embeddings_that_fit(memory, dim, dtype) / 1e6 for dim in formulas.GUIDE_DIMS
        }
        for memory in formulas.GUIDE_MEMORY_GB
    }


def _memory(plan: Plan) -> dict[str, float]:
    tables = {table.name: formulas.parameter_bytes([table], plan.dtype) for table in plan.tables}
    training = formulas.training_bytes(plan.tables, plan.dtype, plan.optimizer)
    parts = {**tables, **{f"training: {name}": size for name, size in training.items()}}
    return {name: size / formulas.GIB for name, size in parts.items()}
