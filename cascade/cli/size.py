"""``cascade size``: machines, cost and memory of a deployment."""

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
    print_json,
)


class Dtype(StrEnum):
    """Data types of embeddings."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class OptimizerName(StrEnum):
    """Optimizers, which differ in the numbers that they keep for each parameter."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAGRAD = "adagrad"
    ADAM = "adam"


def size(
    t_infer_ms: Annotated[
        float | None,
        typer.Option(
            min=1e-6, help="Time of one machine for one request, ms. Default: measured by the last `cascade bench`."
        ),
    ] = None,
    utilization: Annotated[float, typer.Option(help="Share of each machine's time to plan with, above 0 to 1.")] = 0.7,
    price_per_hour: Annotated[
        float | None, typer.Option(min=0, help="Price of one machine per hour, in any currency.")
    ] = None,
    qps: Annotated[float | None, typer.Option(min=0, help="Load to serve, requests per second.")] = None,
    table: Annotated[
        list[str], typer.Option(metavar="NAME=ROWSxDIM", help="Embedding table to fit into memory. Repeatable.")
    ] = NONE,
    dtype: Annotated[Dtype, typer.Option(help="Data type of the embeddings.")] = Dtype.FP16,
    optimizer: Annotated[
        OptimizerName, typer.Option(help="Optimizer of the training; it decides how much memory training needs.")
    ] = OptimizerName.ADAM,
    samples: Annotated[int | None, typer.Option(min=1, help="Training samples in one epoch.")] = None,
    samples_per_s: Annotated[
        float | None, typer.Option(min=1e-6, help="Training speed of one device, samples per second.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Devices that train together.")] = 1,
    runs: Runs = RUNS,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Estimate the machines, cost and memory of a deployment.

    The estimates follow from the last `cascade bench`, or from the options.
    """
    from ..bench.sizing.card import Measured, SizingInputs, card
    from ..bench.sizing.formulas import Table

    measured = Measured.last_bench(runs) if t_infer_ms is None else Measured(t_infer_ms / 1000, "--t-infer-ms", {})
    inputs = SizingInputs(
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
    found = card(measured, inputs)
    if as_json:
        print_json(found)
    else:
        typer.echo(_text(found))


def _text(found: dict[str, Any]) -> str:
    from ..core.text_table import table as aligned

    def short(value: Any) -> Any:
        return f"{value:.4g}" if isinstance(value, float) else value

    *sections, (last, memories) = found.items()
    parts = [aligned((name, ""), [(key, short(value)) for key, value in values.items()]) for name, values in sections]
    dims = list(next(iter(memories.values())))
    parts.append(aligned((last, *dims), [(memory, *map(short, row.values())) for memory, row in memories.items()]))
    return "\n\n".join(parts)
