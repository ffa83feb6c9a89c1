"""Large tables of ONNX models are stored in separate files, which ONNX Runtime memory-maps instead of reading.

So the processes of a machine share a table, and so do the models in a folder: a file is named after the hash of its
contents.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

OUT_FROM = 8 << 20
"""Size in bytes from which a table gets its own file."""


def move_tables_out(model: Any, folder: Path, out_from: int = OUT_FROM) -> None:
    """Move a ModelProto's constants of ``out_from`` bytes or more to files in ``folder``; save the model there too."""
    from onnx.external_data_helper import set_external_data

    for tensor in model.graph.initializer:
        if len(tensor.raw_data) < out_from:
            continue
        name = f"table_{hashlib.sha256(tensor.raw_data).hexdigest()[:12]}.bin"
        if not (folder / name).exists():
            (folder / name).write_bytes(tensor.raw_data)
        set_external_data(tensor, location=name, offset=0, length=len(tensor.raw_data))
        tensor.ClearField("raw_data")


def model_files(model: Path, name: str) -> dict[str, Path]:
    """The files of an ONNX model by the names to copy them to: the model as ``name``, tables under their own names."""
    import onnx

    tensors = onnx.load(str(model), load_external_data=False).graph.initializer
    tables = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    return {name: model, **{table: model.parent / table for table in sorted(tables)}}
