"""The outputs that a model's config declares, and the check of what is handed to Triton."""

from __future__ import annotations

from typing import Any

from ...core.signature import Columns, ColumnSpec, Signature
from ..protocol.wire import WireType


def output_signature(config: dict[str, Any]) -> Signature:
    """The outputs of a model config (JSON, as Triton hands it over); a dim of -1 varies."""
    return {
        entry["name"]: ColumnSpec(
            WireType.of_config(entry["data_type"]).dtype,
            tuple("k" if int(dim) < 0 else int(dim) for dim in entry["dims"]),
        )
        for entry in config["output"]
    }


def check_outputs(answer: Columns, outputs: Signature, users: int) -> None:
    """Check the outputs of a pass. Triton sends whatever it is given, so a column of another shape must not reach it.

    Raises:
        TypeError: naming the first output that is missing or has another dtype, rank or size.
    """
    for name, spec in outputs.items():
        array = answer.get(name)
        if array is None or len(array) != users or not spec.accepts(array):
            came = "nothing" if array is None else f"{array.dtype}{list(array.shape)}"
            raise TypeError(f"output {name}: expected {spec} with B = {users}, got {came}")
