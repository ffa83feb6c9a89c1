"""``cascade size``: what a measured request costs, how many machines a load needs, what fits into their memory."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from .options import (
    NONE,
    RUNS,
    AsJson,
    Runs,
    Verbose,
)


class Dtype(StrEnum):
    """Of embeddings."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Optimizer(StrEnum):
    """What training keeps beside each parameter follows from it."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAGRAD = "adagrad"
    ADAM = "adam"


def size(
    t_infer_ms: Annotated[
        float | None, typer.Option(min=1e-6, help="A machine's time for one request; the last bench's by default.")
    ] = None,
    utilization: Annotated[float, typer.Option(help="Share of a machine to plan with.")] = 0.7,
    price_per_hour: Annotated[float | None, typer.Option(min=0, help="Of a machine, in any currency.")] = None,
    qps: Annotated[float | None, typer.Option(min=0, help="Requests a second to serve.")] = None,
    table: Annotated[
        list[str], typer.Option(metavar="NAME=ROWSxDIM", help="An embedding table; may be given again.")
    ] = NONE,
    dtype: Annotated[Dtype, typer.Option(help="Of embeddings.")] = Dtype.FP16,
    optimizer: Annotated[Optimizer, typer.Option(help="Of training.")] = Optimizer.ADAM,
    samples: Annotated[int | None, typer.Option(min=1, help="Training samples of an epoch.")] = None,
    samples_per_s: Annotated[float | None, typer.Option(min=1e-6, help="That one device trains on.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="That train.")] = 1,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Size a deployment: requests per second, cost, machines, memory, from the last bench or from flags."""
    import json

    from ..bench.sizing.card import Measured, Plan, card
    from ..bench.sizing.formulas import Table

    measured = Measured.last_bench(runs) if t_infer_ms is None else Measured(t_infer_ms / 1000, "--t-infer-ms", {})
    plan = Plan(
        utilization=utilization,
        price_per_hour=price_per_hour,
        qps=qps,
        tables=[Table.parse(text) for text in table],
        dtype=dtype.value,
        optimizer=optimizer.value,
        samples=samples,
        samples_per_s=samples_per_s,
        devices=devices,
    )
    found = card(measured, plan)
    typer.echo(json.dumps(found, indent=2) if as_json else _text(found))


def _text(found: dict[str, Any]) -> str:
    from ..core.text_table import table as aligned

    def short(value: Any) -> Any:
        return f"{value:.4g}" if isinstance(value, float) else value

    *sections, (last, memories) = found.items()
    parts = [aligned((name, ""), [(key, short(value)) for key, value in values.items()]) for name, values in sections]
    dims = list(next(iter(memories.values())))
    parts.append(aligned((last, *dims), [(memory, *map(short, row.values())) for memory, row in memories.items()]))
    return "\n\n".join(parts)
